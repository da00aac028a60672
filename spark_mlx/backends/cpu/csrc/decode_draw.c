/* A heap of the likeliest, the least of them on top; most candidates are compared with that only. */
#include "decode_draw.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    float value;
    int index;
} candidate;

/* Whether a comes before b: the likelier one, or of equals the first. */
static int before(candidate a, candidate b) {
    return a.value > b.value || (a.value == b.value && a.index < b.index);
}

/* Puts c in the place of the top and lets it sink below all that come after it. */
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

/* The likeliest of all, in order. */
static void choose(const float *logits, int count, float temperature, candidate *heap, int kept) {
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

int decode_draw(const float *logits, int count, int kept, float temperature, float top_p,
                const float *noise) {
    candidate *likeliest = malloc(kept * sizeof *likeliest);
    if (likeliest == NULL) return -1;
    choose(logits, count, temperature, likeliest, kept);
    float total = 0, likelier = 0, best = -INFINITY;
    for (int i = 0; i < kept; i++) total += expf(likeliest[i].value - likeliest[0].value);
    int drawn = likeliest[0].index;
    for (int i = 0; i < kept && (likelier < top_p || top_p >= 1); i++) {
        if (likeliest[i].value + noise[i] > best) {
            best = likeliest[i].value + noise[i];
            drawn = likeliest[i].index;
        }
        likelier += expf(likeliest[i].value - likeliest[0].value) / total;
    }
    free(likeliest);
    return drawn;
}
