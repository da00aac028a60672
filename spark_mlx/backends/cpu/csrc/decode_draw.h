/* The next id from logits, as sampling.py describes it. */
#ifndef SPARK_DECODE_DRAW_H
#define SPARK_DECODE_DRAW_H

/* Of `count` logits divided by the temperature, the `kept` likeliest stay, and of those the ones
   before which probabilities do not reach `top_p`; the largest after noise (kept,) is added, first
   to the likeliest, is drawn. Returns its index, or -1 without memory. */
int decode_draw(const float *logits, int count, int kept, float temperature, float top_p,
                const float *noise);

#endif
