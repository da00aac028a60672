/* Draw the next id from logits; see decode_sampling.h.

   The largest logits so far form a heap with the smallest of them on top, so that most candidates
   cost one comparison. */
#include "decode_sampling.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    float value;
    int index;
} candidate;

/* Whether a comes before b: the larger one, or of equals the first. */
static int before(candidate a, candidate b) {
    return a.value > b.value || (a.value == b.value && a.index < b.index);
}

/* Put c in the place of heap[at] and let it sink below all that come after it. */
static void sink(candidate *heap, int size, int at, candidate c) {
    for (;;) {
        int child = 2 * at + 1;
        if (child + 1 < size && before(heap[child], heap[child + 1])) child++;
        if (child >= size || before(heap[child], c)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = c;
}

/* Select the `kept` largest of all, in falling order. */
static void select_largest(const float *logits, int count, float temperature, candidate *heap,
                           int kept) {
    for (int i = 0; i < kept; i++) heap[i] = (candidate){logits[i] / temperature, i};
    for (int i = kept / 2 - 1; i >= 0; i--) sink(heap, kept, i, heap[i]);
    for (int i = kept; i < count; i++) {
        candidate c = {logits[i] / temperature, i};
        if (c.value > heap[0].value) sink(heap, kept, 0, c);
    }
    for (int size = kept - 1; size > 0; size--) {
        candidate last = heap[size];
        heap[size] = heap[0];
        sink(heap, size, 0, last);
    }
}

int decode_sample(const float *logits, int count, int kept, float temperature, float top_p,
                  const float *noise) {
    candidate *largest = malloc(kept * sizeof *largest);
    if (largest == NULL) return -1;
    select_largest(logits, count, temperature, largest, kept);
    float total = 0, mass_before = 0, best = -INFINITY;
    for (int i = 0; i < kept; i++) total += expf(largest[i].value - largest[0].value);
    int drawn = largest[0].index;
    for (int i = 0; i < kept && (mass_before < top_p || top_p >= 1); i++) {
        if (largest[i].value + noise[i] > best) {
            best = largest[i].value + noise[i];
            drawn = largest[i].index;
        }
        mass_before += expf(largest[i].value - largest[0].value) / total;
    }
    free(largest);
    return drawn;
}
