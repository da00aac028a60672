/* Draw the next id from logits, as sampling.py describes it. On the calling thread. */
#ifndef SPARK_DECODE_SAMPLING_H
#define SPARK_DECODE_SAMPLING_H

/* Divide `count` logits by the temperature > 0, keep the `kept` largest (1 ≤ kept ≤ count), and of
   those the first ones whose probabilities reach `top_p`; add noise (kept,) in falling order of the
   logits and take the largest sum. Returns its index, or -1 without memory. */
int decode_sample(const float *logits, int count, int kept, float temperature, float top_p,
                  const float *noise);

#endif
