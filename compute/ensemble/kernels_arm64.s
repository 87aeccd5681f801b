#include "textflag.h"

// The NEON kernels of package ensemble. asmgen/main.go describes what they do and why; contracts
// stand in kernels_arm64.go. A vector holds 16 rows or trees.

// GREATER sets the bytes of V(d) where those of V(n) exceed those of V(m), as signed numbers: CMGT,
// which the assembler does not have.
#define GREATER(n, m, d) WORD $(0x4e203400 | m<<16 | n<<5 | d)

// CONSTANTS loads what EXITLEAF needs, through r.
#define CONSTANTS(r) \
	MOVD  $aliveLow<>(SB), r   \
	VLD1  (r), [V28.B16]       \
	MOVD  $aliveHigh<>(SB), r  \
	VLD1  (r), [V29.B16]       \
	VMOVI $15, V30.B16         \
	VMOVI $255, V31.B16

// EXITLEAF adds, to eight times the number of blocks before it, the lowest alive leaf of a block of
// dead ones.
#define EXITLEAF(block, number) \
	VAND  V30.B16, block, V20.B16               \
	VUSHR $4, block, V21.B16                    \
	VTBL  V20.B16, [V28.B16], V20.B16           \
	VTBL  V21.B16, [V29.B16], V21.B16           \
	VUMIN V21.B16, V20.B16, V20.B16             \
	VSHL  $3, number, number                    \
	VADD  V20.B16, number, number

// The lowest clear bit of a nibble: in the low half of a block, and in the high half; 8 for none.
DATA aliveLow<>+0(SB)/8, $0x0300010002000100
DATA aliveLow<>+8(SB)/8, $0x0800010002000100
GLOBL aliveLow<>(SB), RODATA|NOPTR, $16
DATA aliveHigh<>+0(SB)/8, $0x0704050406040504
DATA aliveHigh<>+8(SB)/8, $0x0804050406040504
GLOBL aliveHigh<>(SB), RODATA|NOPTR, $16

// func killRowsNEONx1(blocks *byte, n int, entries *byte, bins *byte, dead *byte)
TEXT ·killRowsNEONx1(SB), NOSPLIT, $0-40
	MOVD blocks+0(FP), R0
	MOVD n+8(FP), R1
	MOVD entries+16(FP), R2
	MOVD bins+24(FP), R3
	MOVD dead+32(FP), R4

block:
	MOVWU 0(R0), R5 // entries
	MOVWU 4(R0), R6
	ADD   $8, R0
	ADD   R4, R6    // where the dead leaves go
	VEOR V0.B16, V0.B16, V0.B16

entry:
	VLD1R.P 4(R2), [V4.S4] // threshold
	VLD1R.P 4(R2), [V5.S4] // leaves to kill
	MOVWU.P 4(R2), R8
	ADD     R3, R8
	VLD1 (R8), [V16.B16] // complemented ranks
	GREATER(4, 16, 16)
	VAND V5.B16, V16.B16, V16.B16
	VORR V16.B16, V0.B16, V0.B16
	SUBS $1, R5
	BNE  entry

	VST1 [V0.B16], (R6)
	SUBS $1, R1
	BNE  block
	RET

// func killRowsNEONx4(blocks *byte, n int, entries *byte, bins *byte, dead *byte)
TEXT ·killRowsNEONx4(SB), NOSPLIT, $0-40
	MOVD blocks+0(FP), R0
	MOVD n+8(FP), R1
	MOVD entries+16(FP), R2
	MOVD bins+24(FP), R3
	MOVD dead+32(FP), R4

block:
	MOVWU 0(R0), R5 // entries
	MOVWU 4(R0), R6
	ADD   $8, R0
	ADD   R4, R6    // where the dead leaves go
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16

entry:
	VLD1R.P 4(R2), [V4.S4] // threshold
	VLD1R.P 4(R2), [V5.S4] // leaves to kill
	MOVWU.P 4(R2), R8
	ADD     R3, R8
	VLD1 (R8), [V16.B16, V17.B16, V18.B16, V19.B16] // complemented ranks
	GREATER(4, 16, 16)
	GREATER(4, 17, 17)
	GREATER(4, 18, 18)
	GREATER(4, 19, 19)
	VAND V5.B16, V16.B16, V16.B16
	VAND V5.B16, V17.B16, V17.B16
	VAND V5.B16, V18.B16, V18.B16
	VAND V5.B16, V19.B16, V19.B16
	VORR V16.B16, V0.B16, V0.B16
	VORR V17.B16, V1.B16, V1.B16
	VORR V18.B16, V2.B16, V2.B16
	VORR V19.B16, V3.B16, V3.B16
	SUBS $1, R5
	BNE  entry

	VST1 [V0.B16, V1.B16, V2.B16, V3.B16], (R6)
	SUBS $1, R1
	BNE  block
	RET

// func foldRowsNEONx1(dead *byte, trees int, blocks int, leaves *float64, stride int, leaf *byte, sum *float64)
TEXT ·foldRowsNEONx1(SB), NOSPLIT, $0-56
	MOVD dead+0(FP), R0
	MOVD trees+8(FP), R1
	MOVD leaves+24(FP), R3
	MOVD stride+32(FP), R4
	MOVD leaf+40(FP), R5
	CONSTANTS(R6)

tree:
	MOVD blocks+16(FP), R2
	VLD1 (R0), [V0.B16]
	VEOR V4.B16, V4.B16, V4.B16
	B    next

later: // replace the block where all its leaves are dead, and count it
	VLD1 (R0), [V16.B16]
	VCMEQ V31.B16, V0.B16, V20.B16
	VBIT  V20.B16, V16.B16, V0.B16
	VSUB  V20.B16, V4.B16, V4.B16

next:
	ADD  $128, R0 // blockRows
	SUBS $1, R2
	BNE  later

	EXITLEAF(V0.B16, V4.B16)
	VST1 [V4.B16], (R5)
	MOVD R5, R7
	MOVD sum+48(FP), R8
	MOVD $16, R9

row: // two rows: their leaves' scores onto their sums
	MOVBU 0(R7), R10
	MOVBU 1(R7), R11
	FMOVD (R3)(R10<<3), F16
	FMOVD (R3)(R11<<3), F17
	FLDPD (R8), (F18, F19)
	FADDD F16, F18
	FADDD F17, F19
	FSTPD (F18, F19), (R8)
	ADD   $2, R7
	ADD   $16, R8
	SUBS  $2, R9
	BNE   row

	ADD  R4, R3
	SUBS $1, R1
	BNE  tree
	RET

// func foldRowsNEONx4(dead *byte, trees int, blocks int, leaves *float64, stride int, leaf *byte, sum *float64)
TEXT ·foldRowsNEONx4(SB), NOSPLIT, $0-56
	MOVD dead+0(FP), R0
	MOVD trees+8(FP), R1
	MOVD leaves+24(FP), R3
	MOVD stride+32(FP), R4
	MOVD leaf+40(FP), R5
	CONSTANTS(R6)

tree:
	MOVD blocks+16(FP), R2
	VLD1 (R0), [V0.B16, V1.B16, V2.B16, V3.B16]
	VEOR V4.B16, V4.B16, V4.B16
	VEOR V5.B16, V5.B16, V5.B16
	VEOR V6.B16, V6.B16, V6.B16
	VEOR V7.B16, V7.B16, V7.B16
	B    next

later: // replace the block where all its leaves are dead, and count it
	VLD1 (R0), [V16.B16, V17.B16, V18.B16, V19.B16]
	VCMEQ V31.B16, V0.B16, V20.B16
	VBIT  V20.B16, V16.B16, V0.B16
	VSUB  V20.B16, V4.B16, V4.B16
	VCMEQ V31.B16, V1.B16, V21.B16
	VBIT  V21.B16, V17.B16, V1.B16
	VSUB  V21.B16, V5.B16, V5.B16
	VCMEQ V31.B16, V2.B16, V22.B16
	VBIT  V22.B16, V18.B16, V2.B16
	VSUB  V22.B16, V6.B16, V6.B16
	VCMEQ V31.B16, V3.B16, V23.B16
	VBIT  V23.B16, V19.B16, V3.B16
	VSUB  V23.B16, V7.B16, V7.B16

next:
	ADD  $128, R0 // blockRows
	SUBS $1, R2
	BNE  later

	EXITLEAF(V0.B16, V4.B16)
	EXITLEAF(V1.B16, V5.B16)
	EXITLEAF(V2.B16, V6.B16)
	EXITLEAF(V3.B16, V7.B16)
	VST1 [V4.B16, V5.B16, V6.B16, V7.B16], (R5)
	MOVD R5, R7
	MOVD sum+48(FP), R8
	MOVD $64, R9

row: // two rows: their leaves' scores onto their sums
	MOVBU 0(R7), R10
	MOVBU 1(R7), R11
	FMOVD (R3)(R10<<3), F16
	FMOVD (R3)(R11<<3), F17
	FLDPD (R8), (F18, F19)
	FADDD F16, F18
	FADDD F17, F19
	FSTPD (F18, F19), (R8)
	ADD   $2, R7
	ADD   $16, R8
	SUBS  $2, R9
	BNE   row

	ADD  R4, R3
	SUBS $1, R1
	BNE  tree
	RET

// func treeLanesNEON(counts *byte, groups int, entries *byte, ranks *byte, leaf *byte)
TEXT ·treeLanesNEON(SB), NOSPLIT, $0-40
	MOVD counts+0(FP), R0
	MOVD groups+8(FP), R1
	MOVD entries+16(FP), R2
	MOVD ranks+24(FP), R3
	MOVD leaf+32(FP), R4
	CONSTANTS(R6)
	VLD1 (R3), [V24.B16, V25.B16, V26.B16, V27.B16]

group: // as if a block before the first were all dead
	MOVWU.P 4(R0), R5
	VMOV    V31.B16, V0.B16
	VMOV    V31.B16, V4.B16

block:
	MOVWU.P 4(R0), R7
	VEOR    V1.B16, V1.B16, V1.B16

entry:
	VLD1.P 48(R2), [V16.B16, V17.B16, V18.B16] // bins, thresholds, leaves to kill
	VTBL   V16.B16, [V24.B16, V25.B16, V26.B16, V27.B16], V16.B16
	GREATER(16, 17, 16)
	VAND   V18.B16, V16.B16, V16.B16
	VORR   V16.B16, V1.B16, V1.B16
	SUBS   $1, R7
	BNE    entry

	VCMEQ V31.B16, V0.B16, V20.B16
	VBIT  V20.B16, V1.B16, V0.B16
	VSUB  V20.B16, V4.B16, V4.B16
	SUBS  $1, R5
	BNE   block

	EXITLEAF(V0.B16, V4.B16)
	VST1.P [V4.B16], 16(R4)
	SUBS   $1, R1
	BNE    group
	RET
