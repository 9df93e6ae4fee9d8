/* adaface: find faces in a photograph, align them, turn each into a 512-dimensional embedding, compare
 * embeddings. The C interface, whose ABI is kept within a major version (docs/stability.md).
 *
 *   adaface_engine* engine = NULL;
 *   adaface_embedding found[8];
 *   size_t count = 0;
 *   if (adaface_engine_open("model.afw", "mtcnn.afw", NULL, &engine) ||
 *       adaface_analyze_file(engine, "a.jpg", NULL, found, 8, &count))
 *     return fprintf(stderr, "%s\n", adaface_last_error()), 1;
 *
 * Errors.  A function that can fail returns ADAFACE_OK or what went wrong; adaface_last_error() then names
 * the file, tensor or option and what was expected. Outputs are untouched on failure. Nothing aborts or
 * prints. A photograph without a face is no error: it has 0 faces.
 *
 * Ownership.  What a function returns through a handle ("adaface_image**") belongs to the caller, who gives
 * it back to the _free function of its type; those accept NULL. Everything else is read from or written to
 * memory of the caller, and no pointer is kept after a call, except where a function says so.
 *
 * Threads.  Weights are immutable: any number of threads may use them. A detector, an embedder and an engine
 * are sessions: each belongs to one thread at a time, and many may run at once over the same weights.
 * Functions without a session may be called from any thread. Results do not depend on the number of threads
 * or, on a CPU, on how crops are batched. A child of fork may make sessions and use its parent's, in which
 * the calling thread does the work, unless another thread was inside that session, or was making one, at the
 * moment of the fork.
 *
 * Devices.  A session computes on the CPU, or on the CUDA device that its options name. There the same call
 * gives the same bits again, but a crop may differ from itself in another batch by rounding: sums are split
 * in other ways. A device adds to what a session fails with: ADAFACE_UNSUPPORTED, naming the device, where
 * the library was built without CUDA, or the machine has no driver for it or no such device;
 * ADAFACE_OUT_OF_MEMORY; ADAFACE_INTERNAL, with what was being done and CUDA's message. CUDA does not outlive
 * a fork: a child uses no session of its parent's that is on a device, and makes none if its parent has asked
 * for devices (adaface_cuda_device_count, adaface_build_info) or made one.
 *
 * Options.  An options struct begins with its size, so that later versions can add to its end:
 *   adaface_detector_options options;
 *   adaface_detector_options_init(&options, sizeof options);   now holds the defaults
 *   options.min_face = 40;
 * NULL stands for the defaults. Memory beyond what the library knows must be 0 (ADAFACE_UNSUPPORTED
 * otherwise).
 *
 * Coordinates.  Pixels; x grows to the right, y downwards, (0, 0) is the centre of the top left pixel. Paths
 * are in the file system's encoding. */
#ifndef ADAFACE_H
#define ADAFACE_H

#include <stddef.h>
#include <stdint.h>

#include "export.h"

/* Of this header; adaface_version() tells the library's. */
#define ADAFACE_VERSION_MAJOR 1
#define ADAFACE_VERSION_MINOR 0
#define ADAFACE_VERSION_PATCH 0
#define ADAFACE_VERSION "1.0.0"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status */

typedef enum adaface_status {
  ADAFACE_OK = 0,
  ADAFACE_INVALID_ARGUMENT = 1, /* a value that is outside its documented range, or a null pointer */
  ADAFACE_NOT_FOUND = 2,        /* a file or directory that does not exist */
  ADAFACE_IO = 3,               /* the system refused to read or write */
  ADAFACE_CORRUPT = 4,          /* a file that is not what its format promises */
  ADAFACE_UNSUPPORTED = 5,      /* well formed, but something this build or machine does not do */
  ADAFACE_LIMIT = 6,            /* well formed, but larger than a limit that the caller can raise */
  ADAFACE_OUT_OF_MEMORY = 7,
  ADAFACE_CANCELLED = 8, /* the progress function asked to stop */
  ADAFACE_INTERNAL = 9   /* a defect of the library, or a failing device */
} adaface_status;

/* "ok", "invalid_argument", ...: stable, lower case. Of other values "unknown". Static. */
ADAFACE_API const char* adaface_status_name(adaface_status status);

/* What the last call that failed on this thread said, in one line, at most 1023 bytes; "" before any has.
 * Valid until the next failing call on this thread. Calls that succeed leave it alone. */
ADAFACE_API const char* adaface_last_error(void);

/* ---- The process */

/* "1.0.0". Static. */
ADAFACE_API const char* adaface_version(void);

/* Lines of "key: value" about the build, the kernels that this CPU gets and the CUDA devices. Writes at most
 * `size` bytes, the last of them 0, and returns the length of the whole text, as snprintf does; buffer may be
 * NULL where size is 0. Returns 0 when memory is short. */
ADAFACE_API size_t adaface_build_info(char* buffer, size_t size);

/* The number of CPUs that this process may use, affinity and cgroup quota included: what `threads = 0` stands
 * for. */
ADAFACE_API int adaface_available_cpus(void);

/* Where a session computes. Among CUDA devices an index, 0 to 1023, says which, as the CUDA runtime numbers
 * them. */
typedef enum adaface_device_kind { ADAFACE_DEVICE_CPU = 0, ADAFACE_DEVICE_CUDA = 1 } adaface_device_kind;

/* "cpu", "cuda" (that of index 0) or "cuda:N", as options take it: `device` becomes an adaface_device_kind.
 */
ADAFACE_API adaface_status adaface_parse_device(const char* text, int32_t* device, int32_t* device_index);

typedef struct adaface_cuda_device_info {
  size_t struct_size; /* in: sizeof(adaface_cuda_device_info) */
  char name[256];     /* as its driver has it, and a 0 */
  uint64_t memory_bytes;
  int32_t device_index;                 /* for options */
  int32_t compute_major, compute_minor; /* CUDA's compute capability */
} adaface_cuda_device_info;

/* The number of CUDA devices that a session can compute on. 0 where the library was built without CUDA, where
 * there is no driver or no device, and when memory is short. */
ADAFACE_API size_t adaface_cuda_device_count(void);
/* Of one of them, in the order of their indices: `which` is less than adaface_cuda_device_count(). */
ADAFACE_API adaface_status adaface_cuda_device_get_info(size_t which, adaface_cuda_device_info* info);

typedef enum adaface_log_level {
  ADAFACE_LOG_NONE = 0,
  ADAFACE_LOG_WARNING = 1,
  ADAFACE_LOG_INFO = 2,
  ADAFACE_LOG_DEBUG = 3
} adaface_log_level;

/* One line, valid during the call. May come from any thread that is inside the library, one call at a time.
 * Must not call adaface_set_log. What it makes the library say meanwhile is dropped. */
typedef void (*adaface_log)(void* user, adaface_log_level level, const char* message);

/* Replaces the function that gets messages up to `most`; NULL ends the log, which is silent by default.
 * Returns when no call of the former one is running. Messages hold no pixels, landmarks or embeddings. */
ADAFACE_API adaface_status adaface_set_log(adaface_log_level most, adaface_log function, void* user);

/* Where the library's large memory comes from: pixels, activations, packed and transformed weights, the
 * working memory of detection. Small objects come from malloc, the weight file is mapped, oneDNN takes its
 * own. */
typedef struct adaface_allocator {
  size_t struct_size; /* sizeof(adaface_allocator) */
  /* `alignment` is a power of two, at most 64. NULL where there is none. From any thread, several at once. */
  void* (*allocate)(void* user, size_t bytes, size_t alignment);
  void (*release)(void* user, void* memory, size_t bytes); /* `bytes` as they were asked for */
  void* user;
} adaface_allocator;

/* For the whole process; copied. NULL sets the default again. ADAFACE_INVALID_ARGUMENT while any image or
 * session exists. */
ADAFACE_API adaface_status adaface_set_allocator(const adaface_allocator* allocator);

/* ---- Images */

typedef enum adaface_channel_order { ADAFACE_RGB = 0, ADAFACE_BGR = 1 } adaface_channel_order;

/* 8-bit, three interleaved channels; does not own its pixels. Fixed within a major version. */
typedef struct adaface_image_view {
  const uint8_t* data;
  int32_t width, height; /* 1 to 65535 */
  ptrdiff_t stride;      /* bytes from row to row, at least 3 * width */
  int32_t order;         /* adaface_channel_order */
} adaface_image_view;

typedef struct adaface_decode_options {
  size_t struct_size;
  int32_t apply_orientation; /* 1: turn the picture as its EXIF orientation says; 0: leave it */
  int32_t max_side;        /* 16384: wider or higher pictures are ADAFACE_LIMIT before any pixel is decoded */
  uint64_t max_file_bytes; /* 2^30 */
} adaface_decode_options;
ADAFACE_API void adaface_decode_options_init(adaface_decode_options* options, size_t size);

/* A decoded picture. Immutable: any thread may read it. */
typedef struct adaface_image adaface_image;

/* JPEG, PNG, BMP, GIF (first frame), TGA, PSD, PIC, PNM, HDR. `name` stands in error messages; NULL: "image".
 */
ADAFACE_API adaface_status adaface_image_read(const char* path, const adaface_decode_options* options,
                                              adaface_image** image);
ADAFACE_API adaface_status adaface_image_decode(const void* bytes, size_t size, const char* name,
                                                const adaface_decode_options* options, adaface_image** image);
/* The view is RGB and valid until adaface_image_free. */
ADAFACE_API adaface_status adaface_image_get(const adaface_image* image, adaface_image_view* view);
ADAFACE_API void adaface_image_free(adaface_image* image);

/* .png, or .jpg/.jpeg with `quality` 1 to 100. The file appears whole or not at all. */
ADAFACE_API adaface_status adaface_image_write(const char* path, const adaface_image_view* image,
                                               int32_t quality);

/* ---- Weights */

/* A mapped .afw file. While it is loaded, or a session over it exists, the file may be removed or replaced by
 * rename, but must not be truncated or overwritten in place (SIGBUS). */
typedef struct adaface_weights adaface_weights;

typedef struct adaface_weights_info {
  size_t struct_size; /* in: sizeof(adaface_weights_info) */
  /* Strings are valid until adaface_weights_free. */
  const char* architecture;   /* "mtcnn", "ir_18", "ir_34", "ir_50", "ir_101", "ir_se_50" */
  const char* color;          /* channel order that the network was trained on: "bgr" or "rgb" */
  const char* storage;        /* of the large tensors: "f32", "f16", "bf16" */
  const char* source_sha256;  /* of the checkpoint that was converted */
  const char* weights_sha256; /* of the weights themselves: the identity of the model. Embeddings of different
                                 models cannot be compared. */
  uint64_t file_bytes;
  uint64_t parameters;
} adaface_weights_info;

/* Checks structure and names at once, each tensor's checksum when it is first planned. */
ADAFACE_API adaface_status adaface_weights_load(const char* path, adaface_weights** weights);
ADAFACE_API adaface_status adaface_weights_get_info(const adaface_weights* weights,
                                                    adaface_weights_info* info);
/* Reads every tensor and compares checksums. */
ADAFACE_API adaface_status adaface_weights_verify(const adaface_weights* weights);
/* Sessions over them go on. */
ADAFACE_API void adaface_weights_free(adaface_weights* weights);

/* ---- Long calls */

/* Told how much of a call is done, from 0 to 1, never less than before. 0: go on; anything else: stop, within
 * milliseconds, with ADAFACE_CANCELLED; the session can be used again. Called on the thread that made the
 * call, often. Must return (no exception, no longjmp) and must not use the session. */
typedef int (*adaface_progress)(void* user, double done);

/* ---- Detection: MTCNN (Zhang et al. 2016) */

typedef enum adaface_mode {
  ADAFACE_MODE_STANDARD = 0, /* the published networks, the published code's defects mended */
  ADAFACE_MODE_REFERENCE = 1 /* the published pipeline number for number, defects included */
} adaface_mode;

/* Fixed within a major version: arrays of it are the caller's. */
typedef struct adaface_face {
  float box[4];          /* x1, y1, x2, y2, inclusive; may reach outside the image */
  float score;           /* probability, in (score threshold, 1] */
  float landmarks[5][2]; /* x, y: left eye, right eye, nose, left and right corner of the mouth, as seen */
} adaface_face;

typedef struct adaface_detector_options {
  size_t struct_size;
  int32_t mode;                 /* ADAFACE_MODE_STANDARD */
  int32_t threads;              /* 0 to 1024; 0: adaface_available_cpus() */
  double min_face;              /* 20: smallest face side in pixels, 12 to 65535 */
  double pyramid_factor;        /* 0.85, in (0, 0.99] */
  float score_thresholds[3];    /* 0.6, 0.7, 0.9: P-, R-, O-Net, each in [0, 1) */
  double overlap_thresholds[3]; /* 0.7 each, in (0, 1] */
  int32_t device;               /* ADAFACE_DEVICE_CPU: an adaface_device_kind */
  int32_t device_index;         /* 0 to 1023, of ADAFACE_DEVICE_CUDA */
} adaface_detector_options;
ADAFACE_API void adaface_detector_options_init(adaface_detector_options* options, size_t size);

typedef struct adaface_detector adaface_detector;
ADAFACE_API adaface_status adaface_detector_create(const adaface_weights* weights,
                                                   const adaface_detector_options* options,
                                                   adaface_detector** detector);
ADAFACE_API void adaface_detector_free(adaface_detector* detector);
/* For all later calls; NULL: none. `user` is kept. */
ADAFACE_API adaface_status adaface_detector_set_progress(adaface_detector* detector,
                                                         adaface_progress function, void* user);

/* Sets *count to the number of faces found, and writes the first of them, at most `capacity`, in descending
 * score. Where *count > capacity the others were left out. faces may be NULL where capacity is 0. */
ADAFACE_API adaface_status adaface_detect(adaface_detector* detector, const adaface_image_view* image,
                                          adaface_face* faces, size_t capacity, size_t* count);

/* ---- Alignment */

#define ADAFACE_CROP_SIZE 112
#define ADAFACE_CROP_BYTES (ADAFACE_CROP_SIZE * ADAFACE_CROP_SIZE * 3)

/* The similarity that carries five landmarks to the AdaFace template: x' = m[0][0] x + m[0][1] y + m[0][2],
 * y' = m[1][0] x + m[1][1] y + m[1][2]. ADAFACE_INVALID_ARGUMENT when the points are not finite or coincide.
 */
ADAFACE_API adaface_status adaface_alignment_transform(const float landmarks[5][2], adaface_mode mode,
                                                       double m[2][3]);

/* The 112x112 crop, RGB whatever the order of the image, rows packed: bilinear, black outside the image. */
ADAFACE_API adaface_status adaface_align(const adaface_image_view* image, const float landmarks[5][2],
                                         adaface_mode mode, uint8_t crop[ADAFACE_CROP_BYTES]);

/* ---- Embedding: AdaFace (Kim et al. 2022) */

#define ADAFACE_EMBEDDING_SIZE 512

/* Fixed within a major version. */
typedef struct adaface_embedding {
  float unit[ADAFACE_EMBEDDING_SIZE]; /* L2 norm 1 */
  float norm;                         /* before normalisation: grows with image quality */
} adaface_embedding;

/* Of the multiplications; sums are float32 in every case. On a CUDA device ADAFACE_F32 is TF32, which keeps
 * 11 bits of each factor. */
typedef enum adaface_precision {
  ADAFACE_F32 = 0,
  ADAFACE_BF16 = 1, /* 8 bits of each factor. ADAFACE_UNSUPPORTED on a CPU that does not multiply it */
  ADAFACE_F16 = 2   /* 11 bits of each factor. ADAFACE_UNSUPPORTED on a CPU */
} adaface_precision;
/* Has no meaning on a CUDA device. */
typedef enum adaface_plan {
  ADAFACE_PLAN_FAST = 0, /* three times the memory of a float32 file, the least time */
  ADAFACE_PLAN_SMALL = 1 /* little more than the file, for a third more time */
} adaface_plan;

typedef struct adaface_embedder_options {
  size_t struct_size;
  int32_t threads;      /* 0 to 1024; 0: adaface_available_cpus() */
  int32_t precision;    /* ADAFACE_F32 */
  int32_t plan;         /* ADAFACE_PLAN_FAST */
  int32_t reserved;     /* not read; may hold anything */
  int32_t device;       /* ADAFACE_DEVICE_CPU: an adaface_device_kind */
  int32_t device_index; /* 0 to 1023, of ADAFACE_DEVICE_CUDA */
} adaface_embedder_options;
ADAFACE_API void adaface_embedder_options_init(adaface_embedder_options* options, size_t size);

typedef struct adaface_embedder adaface_embedder;
ADAFACE_API adaface_status adaface_embedder_create(const adaface_weights* weights,
                                                   const adaface_embedder_options* options,
                                                   adaface_embedder** embedder);
ADAFACE_API void adaface_embedder_free(adaface_embedder* embedder);
ADAFACE_API adaface_status adaface_embedder_set_progress(adaface_embedder* embedder,
                                                         adaface_progress function, void* user);

/* Transforms all weights of a fast plan now; later embeddings take their steady time. */
ADAFACE_API adaface_status adaface_embedder_prepare(adaface_embedder* embedder);

/* Crops of 112x112, in either channel order: `count` views, `count` embeddings. Threads work inside one crop,
 * or take one each of several. */
ADAFACE_API adaface_status adaface_embed(adaface_embedder* embedder, const adaface_image_view* crops,
                                         size_t count, adaface_embedding* embeddings);

/* Cosine of the angle between two embeddings of the same model, in [-1, 1]. NaN where a pointer is NULL. */
ADAFACE_API double adaface_similarity(const adaface_embedding* a, const adaface_embedding* b);

/* matrix[i * columns_count + j] = similarity of rows[i] and columns[j]. */
ADAFACE_API adaface_status adaface_compare(const adaface_embedding* rows, size_t rows_count,
                                           const adaface_embedding* columns, size_t columns_count,
                                           double* matrix);

/* ---- All of it */

typedef enum adaface_faces {
  ADAFACE_FACES_ALL = 0,
  ADAFACE_FACES_LARGEST = 1, /* the one with the greatest box area */
  ADAFACE_FACES_BEST = 2     /* the one with the highest score */
} adaface_faces;

typedef struct adaface_engine_options {
  size_t struct_size;
  int32_t threads;   /* 0 to 1024; 0: adaface_available_cpus(). detection's own is not read */
  int32_t faces;     /* ADAFACE_FACES_ALL */
  int32_t precision; /* ADAFACE_F32 */
  int32_t plan;      /* ADAFACE_PLAN_FAST */
  const adaface_detector_options* detection; /* NULL: the defaults. Its mode also rules alignment */
  int32_t device;       /* ADAFACE_DEVICE_CPU: an adaface_device_kind. detection's own is not read */
  int32_t device_index; /* 0 to 1023, of ADAFACE_DEVICE_CUDA */
} adaface_engine_options;
ADAFACE_API void adaface_engine_options_init(adaface_engine_options* options, size_t size);

typedef struct adaface_engine adaface_engine;
/* An IR network's .afw and MTCNN's. */
ADAFACE_API adaface_status adaface_engine_open(const char* model, const char* detector,
                                               const adaface_engine_options* options,
                                               adaface_engine** engine);
/* The same over weights that are loaded, as for a session a thread. */
ADAFACE_API adaface_status adaface_engine_create(const adaface_weights* model,
                                                 const adaface_weights* detector,
                                                 const adaface_engine_options* options,
                                                 adaface_engine** engine);
ADAFACE_API void adaface_engine_free(adaface_engine* engine);
ADAFACE_API adaface_status adaface_engine_set_progress(adaface_engine* engine, adaface_progress function,
                                                       void* user);

/* Detects, selects, aligns, embeds. Sets *count to the number of faces found; of the first of them, at most
 * `capacity`, in descending score, writes faces[i] and embeddings[i]. Either array may be NULL; no more is
 * computed than is asked for. */
ADAFACE_API adaface_status adaface_analyze(adaface_engine* engine, const adaface_image_view* image,
                                           adaface_face* faces, adaface_embedding* embeddings,
                                           size_t capacity, size_t* count);

/* The same of a file, within the limits of adaface_decode_options_init; turned as its EXIF orientation says,
 * but not in ADAFACE_MODE_REFERENCE. */
ADAFACE_API adaface_status adaface_analyze_file(adaface_engine* engine, const char* path, adaface_face* faces,
                                                adaface_embedding* embeddings, size_t capacity,
                                                size_t* count);

#ifdef __cplusplus
}
#endif

#endif
