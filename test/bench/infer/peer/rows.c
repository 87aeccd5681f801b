// rows measures a compiled model: rows LIBRARY ROWS FEATURES RUNS. LIBRARY has float predict(const float *row), as peers.py generates it. It prints a line of JSON.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  void *lib = dlopen(argv[1], RTLD_NOW);
  if (!lib) { fprintf(stderr, "%s\n", dlerror()); return 1; }
  float (*predict)(const float *) = (float (*)(const float *))dlsym(lib, "predict");
  int features = atoi(argv[3]), runs = atoi(argv[4]);
  FILE *f = fopen(argv[2], "rb");
  if (!f) return 1;
  fseek(f, 0, SEEK_END);
  long n = ftell(f) / 4;
  rewind(f);
  float *x = malloc(n * 4);
  if (fread(x, 4, n, f) != (size_t)n) return 1;
  double *times = malloc(sizeof(double) * runs);
  volatile float sink;
  for (int r = -1; r < runs; r++) {
    double began = now();
    long done = 0;
    do {
      for (long at = 0; at + features <= n; at += features, done++) sink = predict(x + at);
    } while (now() - began < 30e6);
    if (r >= 0) times[r] = (now() - began) / done;
  }
  (void)sink;
  qsort(times, runs, sizeof(double), compare);
  printf("{\"library\": \"compiled C\", \"batch\": 1, \"ns_per_row_median\": %.1f, \"ns_per_row_least\": %.1f, \"first\": %.9g}\n", times[runs / 2], times[0], predict(x));
}
