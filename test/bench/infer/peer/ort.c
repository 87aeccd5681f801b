// ort measures ONNX Runtime through its C interface: ort LIBRARY MODEL ROWS FEATURES BATCH RUNS. It prints a line of JSON. The library is opened at run time and its header is not needed: the interface is a table of functions
// whose positions never change, and the numbers here are positions.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void *handle;
typedef struct {
  const void *const *(*api)(uint32_t);
  const char *(*version)(void);
} base;

static const void *const *api;
enum { GetErrorMessage = 2, CreateEnv = 3, CreateSession = 7, Run = 9, CreateSessionOptions = 10, SetGraphOptimizationLevel = 23, SetIntraOpNumThreads = 24,
       SetInterOpNumThreads = 25, CreateTensorWithData = 49, GetTensorMutableData = 51, CreateCpuMemoryInfo = 69, ReleaseValue = 96 };

static void ok(handle status) {
  if (status) {
    fprintf(stderr, "%s\n", ((const char *(*)(handle))api[GetErrorMessage])(status));
    exit(1);
  }
}

static double now(void) { // processor time of this thread, ns
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  handle lib = dlopen(argv[1], RTLD_NOW);
  if (!lib) { fprintf(stderr, "%s\n", dlerror()); return 1; }
  const base *b = ((const base *(*)(void))dlsym(lib, "OrtGetApiBase"))();
  api = b->api(16);
  int features = atoi(argv[4]), batch = atoi(argv[5]), runs = atoi(argv[6]);
  FILE *f = fopen(argv[3], "rb");
  if (!f) return 1;
  fseek(f, 0, SEEK_END);
  long n = ftell(f) / 4;
  rewind(f);
  float *x = malloc(n * 4), *out;
  if (fread(x, 4, n, f) != (size_t)n) return 1;
  long rows = n / features;
  handle env, options, session, memory;
  ok(((handle(*)(int, const char *, handle *))api[CreateEnv])(3, "infer", &env));
  ok(((handle(*)(handle *))api[CreateSessionOptions])(&options));
  ok(((handle(*)(handle, int))api[SetGraphOptimizationLevel])(options, 99));
  ok(((handle(*)(handle, int))api[SetIntraOpNumThreads])(options, 1));
  ok(((handle(*)(handle, int))api[SetInterOpNumThreads])(options, 1));
  ok(((handle(*)(handle, const char *, handle, handle *))api[CreateSession])(env, argv[2], options, &session));
  ok(((handle(*)(int, int, handle *))api[CreateCpuMemoryInfo])(1, 0, &memory));
  const char *in = "input", *score = "output";
  double *times = malloc(sizeof(double) * runs), first = 0;
  for (int r = -1; r < runs; r++) {
    double began = now();
    long done = 0;
    do {
      for (long at = 0; at + batch <= rows && (batch > 1 || at < 1024); at += batch) {
        handle value, result = 0;
        int64_t shape[2] = {batch, features};
        ok(((handle(*)(handle, void *, size_t, const int64_t *, size_t, int, handle *))api[CreateTensorWithData])(memory, x + at * features, (size_t)batch * features * 4, shape, 2, 1, &value));
        ok(((handle(*)(handle, handle, const char *const *, const handle *, size_t, const char *const *, size_t, handle *))api[Run])(session, 0, &in, &value, 1, &score, 1, &result));
        if (r < 0 && at == 0) {
          ok(((handle(*)(handle, void **))api[GetTensorMutableData])(result, (void **)&out));
          first = out[0];
        }
        ((void (*)(handle))api[ReleaseValue])(result);
        ((void (*)(handle))api[ReleaseValue])(value);
        done += batch;
      }
    } while (now() - began < 30e6);
    if (r >= 0) times[r] = (now() - began) / done;
  }
  qsort(times, runs, sizeof(double), compare);
  printf("{\"library\": \"onnxruntime %s\", \"batch\": %d, \"ns_per_row_median\": %.1f, \"ns_per_row_least\": %.1f, \"first\": %.9g}\n", b->version(), batch, times[runs / 2], times[0], first);
}
