/* What the shared libraries export: everything else in them is hidden. Valid in C and in C++. */
#ifndef ADAFACE_EXPORT_H
#define ADAFACE_EXPORT_H

#if defined(__GNUC__)
#define ADAFACE_API __attribute__((visibility("default")))
#define ADAFACE_HIDDEN __attribute__((visibility("hidden"))) /* inside something that is exported */
#else
#define ADAFACE_API
#define ADAFACE_HIDDEN
#endif

#endif
