/* Do two photographs show the same person? Prints the cosine between their largest faces.
 *
 *   cc compare.c -o compare $(pkg-config --cflags --libs adaface)
 *   ./compare model.afw mtcnn.afw a.jpg b.jpg
 */
#include <adaface/adaface.h>
#include <stdio.h>

static int failed(adaface_status status) {
  fprintf(stderr, "error: %s (%s)\n", adaface_last_error(), adaface_status_name(status));
  return 1;
}

int main(int argc, char** argv) {
  adaface_engine_options options;
  adaface_engine* engine = NULL;
  adaface_embedding found[2];
  adaface_status status;
  int i;
  if (argc != 5) return 2;
  adaface_engine_options_init(&options, sizeof options);
  options.faces = ADAFACE_FACES_LARGEST;
  status = adaface_engine_open(argv[1], argv[2], &options, &engine);
  if (status) return failed(status);
  for (i = 0; i < 2; ++i) {
    size_t count = 0;
    status = adaface_analyze_file(engine, argv[3 + i], NULL, &found[i], 1, &count);
    if (status) return failed(status);
    if (count == 0) return fprintf(stderr, "%s: no face\n", argv[3 + i]), 1;
  }
  printf("%.4f\n", adaface_similarity(&found[0], &found[1]));
  adaface_engine_free(engine);
  return 0;
}
