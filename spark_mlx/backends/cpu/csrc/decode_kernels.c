/* The inner loops of decoding, compiled for each kind of vectors; see decode_kernels.h. */
#include "decode_kernels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "common.h"
#include "fastmath.h"
#include "gemm.h"

/* Bytes between the weights in use and those that are prefetched: about as many as arrive while one
   cache line is on its way. */
#define PREFETCH_DISTANCE 4096
/* The score of a position beyond the end. */
#define NO_SCORE -1e30f

#define PLAIN_BYTE(w, j) __builtin_convertvector((w) >> (8 * (j)) & 255, vec)
#define PLAIN_NIBBLE(w, j) __builtin_convertvector((w) >> (4 * (j)) & 15, vec)

#define NAME plain
#define TARGET
#define LANES 4
#if defined(__aarch64__)
#define MAX_ROWS 8
#else
#define MAX_ROWS 4
#endif
#define BYTE PLAIN_BYTE
#define NIBBLE PLAIN_NIBBLE
#include "decode_kernels_simd.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Indices for a shuffle that moves byte j of each of four words to the lowest byte, with zeros
   above it. */
#define BYTE_INDICES(j)                                                                          \
    _mm_setr_epi32((int)(0x80808000u + (j)), (int)(0x80808004u + (j)), (int)(0x80808008u + (j)), \
                   (int)(0x8080800cu + (j)))

#define NAME avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define MAX_ROWS 5
#define BYTE(w, j)            \
    (vec) _mm256_cvtepi32_ps( \
        _mm256_shuffle_epi8((__m256i)(w), _mm256_broadcastsi128_si256(BYTE_INDICES(j))))
#define NIBBLE PLAIN_NIBBLE
#include "decode_kernels_simd.h"

#define NAME avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma")))
#define LANES 16
#define MAX_ROWS 8
#define BYTE(w, j)            \
    (vec) _mm512_cvtepi32_ps( \
        _mm512_shuffle_epi8((__m512i)(w), _mm512_broadcast_i32x4(BYTE_INDICES(j))))
/* Look up a table of 16 floats by the lowest four bits; the others are ignored. */
#define NIBBLE(w, j)                 \
    (vec) _mm512_permutexvar_ps(     \
        (__m512i)((w) >> (4 * (j))), \
        _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#include "decode_kernels_simd.h"
#endif

#define KERNEL(label, name)                                                                   \
    {                                                                                         \
        label, max_rows_##name, {times_32_##name, times_8_##name, times_4_##name},            \
            {unpack_32_##name, unpack_8_##name, unpack_4_##name}, norm_##name, swiglu_##name, \
            attend_##name                                                                     \
    }

static const decode_kernel kernels[] = {
    KERNEL("plain", plain),
#if defined(__x86_64__)
    KERNEL("AVX2", avx2),
    KERNEL("AVX-512", avx512),
#endif
};

const decode_kernel *decode_kernel_now(void) {
    for (size_t i = 1; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].name, gemm_kernel_name()) == 0) return &kernels[i];
    return &kernels[0];
}
