#include "textflag.h"

// Sums of 16 units at once: their weights for an input lie side by side, four to a register.
// Products are rounded before they are added and each unit adds in the order of the inputs, as the
// portable code does, so the bits are the same.

#define ENTER \
	MOVQ out+0(FP), DI      \
	MOVQ in+8(FP), SI       \
	MOVQ w+16(FP), DX       \
	MOVQ start+24(FP), BX   \
	MOVQ n+32(FP), CX       \
	VMOVUPD (BX), Y0        \
	VMOVUPD 32(BX), Y1      \
	VMOVUPD 64(BX), Y2      \
	VMOVUPD 96(BX), Y3

#define ADD \
	VMULPD Y5, Y4, Y5  \
	VMULPD Y6, Y4, Y6  \
	VMULPD Y7, Y4, Y7  \
	VMULPD Y8, Y4, Y8  \
	VADDPD Y5, Y0, Y0  \
	VADDPD Y6, Y1, Y1  \
	VADDPD Y7, Y2, Y2  \
	VADDPD Y8, Y3, Y3

#define LEAVE \
	VMOVUPD Y0, (DI)    \
	VMOVUPD Y1, 32(DI)  \
	VMOVUPD Y2, 64(DI)  \
	VMOVUPD Y3, 96(DI)  \
	VZEROUPPER          \
	RET

// func sums64(out, in, w, start *float64, n int)
TEXT ·sums64(SB), NOSPLIT, $0-40
	ENTER
loop:
	VBROADCASTSD (SI), Y4
	VMOVUPD (DX), Y5
	VMOVUPD 32(DX), Y6
	VMOVUPD 64(DX), Y7
	VMOVUPD 96(DX), Y8
	ADD
	ADDQ $8, SI
	ADDQ $128, DX
	DECQ CX
	JNZ  loop
	LEAVE

// func sums32(out, in *float64, w *float32, start *float64, n int)
TEXT ·sums32(SB), NOSPLIT, $0-40
	ENTER
loop:
	VBROADCASTSD (SI), Y4
	VCVTPS2PD (DX), Y5
	VCVTPS2PD 16(DX), Y6
	VCVTPS2PD 32(DX), Y7
	VCVTPS2PD 48(DX), Y8
	ADD
	ADDQ $8, SI
	ADDQ $64, DX
	DECQ CX
	JNZ  loop
	LEAVE

// func sums8(out, in *float64, w *int8, start *float64, n int)
TEXT ·sums8(SB), NOSPLIT, $0-40
	ENTER
loop:
	VBROADCASTSD (SI), Y4
	VPMOVSXBD (DX), X5
	VPMOVSXBD 4(DX), X6
	VPMOVSXBD 8(DX), X7
	VPMOVSXBD 12(DX), X8
	VCVTDQ2PD X5, Y5
	VCVTDQ2PD X6, Y6
	VCVTDQ2PD X7, Y7
	VCVTDQ2PD X8, Y8
	ADD
	ADDQ $8, SI
	ADDQ $16, DX
	DECQ CX
	JNZ  loop
	LEAVE

// func hasAVX() bool
TEXT ·hasAVX(SB), NOSPLIT, $0-1
	MOVL $1, AX
	XORL CX, CX
	CPUID
	ANDL $0x18000000, CX // OSXSAVE and AVX
	CMPL CX, $0x18000000
	JNE  no
	XORL CX, CX
	XGETBV
	ANDL $6, AX // the state of SSE and AVX
	CMPL AX, $6
	JNE  no
	MOVB $1, ret+0(FP)
	RET
no:
	MOVB $0, ret+0(FP)
	RET
