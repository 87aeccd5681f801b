; What a compiler and a linker make of ordinary code: a stack pointer, exported helpers, a table of functions, static memory.
;
;   llc -O2 -march=wasm32 -filetype=obj compiled.ll -o compiled.o      # LLVM 14
;   wasm-ld --no-entry --export-all compiled.o -o compiled.wasm        # LLD 22, of rustup
target triple = "wasm32-unknown-unknown"

@rows = internal global [4096 x double] zeroinitializer
@calls = internal global i32 0

define i8* @alloc(i32 %bytes) {
  ret i8* bitcast ([4096 x double]* @rows to i8*)
}

define double @product(double %a, double %b) {
  %m = fmul double %a, %b
  ret double %m
}

define double @quotient(double %a, double %b) {
  %m = fdiv double %a, %b
  ret double %m
}

; a · b where a is negative, else a / b: through a table.
define double @pick(double %a, double %b) {
  %less = fcmp olt double %a, 0.0
  %f = select i1 %less, double (double, double)* @product, double (double, double)* @quotient
  %v = call double %f(double %a, double %b)
  ret double %v
}

; how often it was called, if anything were kept.
define double @count(double %a) {
  %v = load i32, i32* @calls
  %w = add i32 %v, 1
  store i32 %w, i32* @calls
  %d = sitofp i32 %w to double
  ret double %d
}

; the largest of the rows.
define double @largest(double* %p, i32 %n) {
start:
  br label %next
next:
  %i = phi i32 [ 0, %start ], [ %j, %next ]
  %best = phi double [ -1.0e300, %start ], [ %better, %next ]
  %at = getelementptr double, double* %p, i32 %i
  %v = load double, double* %at
  %more = fcmp ogt double %v, %best
  %better = select i1 %more, double %v, double %best
  %j = add i32 %i, 1
  %last = icmp uge i32 %j, %n
  br i1 %last, label %done, label %next
done:
  ret double %better
}
