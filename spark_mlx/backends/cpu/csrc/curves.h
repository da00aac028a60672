/* Polynomials in place of the library's functions, so that loops over them become vector code. */
#ifndef SPARK_CURVES_H
#define SPARK_CURVES_H

#define CURVE static inline __attribute__((always_inline)) float

/* An angle times this is in half turns: 1 / π. */
#define TURNS 0.31830988618379067f

/* sin²(π · turns). It has period one, so the number less the nearest whole one is all it needs;
   the rest is a polynomial of that squared, to 2.5e-7 (a Chebyshev fit of degree 5). */
CURVE sine_squared(float turns) {
    const float whole = 12582912.0f; /* 1.5 · 2^23: adding it rounds to a whole number */
    float r = turns - ((turns + whole) - whole);
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
CURVE exp_negative(float x) {
    const float whole = 12582912.0f;
    float t = x * 1.4426950408889634f;
    t = t < -126.0f ? -126.0f : t;
    float n = (t + whole) - whole;
    float f = t - n;
    float p = 0.0013400432653725147f;
    p = p * f + 0.009676037356257439f;
    p = p * f + 0.05550327152013779f;
    p = p * f + 0.2402210682630539f;
    p = p * f + 0.6931471824645996f;
    p = p * f + 1.0000001192092896f;
    union {
        int i;
        float f;
    } power = {((int)n + 127) << 23};
    return p * power.f;
}

/* Φ(x), the normal distribution, where `bell` is e^(-x²/2): by formula 7.1.26 of Abramowitz and
   Stegun for erf, to 1.5e-7. */
CURVE normal(float x, float bell) {
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
