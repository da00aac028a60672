/* Polynomials in place of the C library's functions, so that loops over them become vector code.

   Input and output: one float32. Pure functions, for any thread. */
#ifndef SPARK_FASTMATH_H
#define SPARK_FASTMATH_H

#include <stdint.h>

#define FASTMATH static inline __attribute__((always_inline)) float

/* Adding 1.5 · 2^23 to a float32 of moderate size rounds it to a whole number. */
#define ROUNDER 12582912.0f

/* Multiply an angle in radians by this to get half turns: 1 / π. */
#define HALF_TURNS 0.31830988618379067f

/* sin²(π · half_turns). The function has period one, so the argument less its nearest whole number
   is enough; the rest is a polynomial of that squared, to 2.5e-7 (a Chebyshev fit of degree 5). */
FASTMATH sine_squared(float half_turns) {
    float r = half_turns - ((half_turns + ROUNDER) - ROUNDER);
    float u = r * r;
    float p = -3.3565926551818848f;
    p = p * u + 13.05009937286377f;
    p = p * u - 30.101465225219727f;
    p = p * u + 42.727195739746094f;
    p = p * u - 32.469669342041016f;
    p = p * u + 9.869604110717773f;
    return p * u;
}

/* e^x for x ≤ 0, by 2^n · 2^f. */
FASTMATH exp_negative(float x) {
    float t = x * 1.4426950408889634f;
    t = t < -126.0f ? -126.0f : t;
    union {
        float f;
        uint32_t bits;
    } rounded = {t + ROUNDER}, power;
    float f = t - (rounded.f - ROUNDER);
    float p = 0.0013400432653725147f;
    p = p * f + 0.009676037356257439f;
    p = p * f + 0.05550327152013779f;
    p = p * f + 0.2402210682630539f;
    p = p * f + 0.6931471824645996f;
    p = p * f + 1.0000001192092896f;
    /* The lowest bits of the rounded number are n; shifted into the exponent, with its bias. */
    power.bits = (rounded.bits << 23) + (127u << 23);
    return p * power.f;
}

/* Φ(x), the normal distribution, where `bell` is e^(-x²/2): by formula 7.1.26 of Abramowitz and
   Stegun for erf, to 1.5e-7. */
FASTMATH normal_cdf(float x, float bell) {
    float t = 1 / (1 + 0.3275911f * 0.7071067811865476f * (x < 0 ? -x : x));
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float tail = 0.5f * p * t * bell; /* 1 - Φ(|x|) */
    return x < 0 ? tail : 1 - tail;
}

#endif
