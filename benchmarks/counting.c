/* Plain counting loops: what a careful programmer writes first. Codes of one word, a histogram a thread. Labels are two
   words in `count`, and a class id in `count_ids`. */
#include <stdint.h>
#include <string.h>

enum { BITS = 64 };

void count(const uint64_t *query_codes, const uint64_t *query_labels, int64_t queries,
           const uint64_t *database_codes, const uint64_t *database_labels, int64_t n,
           int64_t *relevant, int64_t *total, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < queries; i++) {
        int64_t histogram[2][BITS + 1];
        memset(histogram, 0, sizeof histogram);
        const uint64_t code = query_codes[i], low = query_labels[2 * i], high = query_labels[2 * i + 1];
        for (int64_t j = 0; j < n; j++) {
            const int distance = __builtin_popcountll(code ^ database_codes[j]);
            const int shared = ((low & database_labels[2 * j]) | (high & database_labels[2 * j + 1])) != 0;
            histogram[shared][distance]++;
        }
        for (int d = 0; d <= BITS; d++) {
            relevant[i * (BITS + 1) + d] = histogram[1][d];
            total[i * (BITS + 1) + d] = histogram[0][d] + histogram[1][d];
        }
    }
}

void count_ids(const uint64_t *query_codes, const uint32_t *query_ids, int64_t queries,
               const uint64_t *database_codes, const uint32_t *database_ids, int64_t n,
               int64_t *relevant, int64_t *total, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < queries; i++) {
        int64_t histogram[2][BITS + 1];
        memset(histogram, 0, sizeof histogram);
        const uint64_t code = query_codes[i];
        const uint32_t id = query_ids[i];
        for (int64_t j = 0; j < n; j++) {
            const int distance = __builtin_popcountll(code ^ database_codes[j]);
            histogram[id == database_ids[j]][distance]++;
        }
        for (int d = 0; d <= BITS; d++) {
            relevant[i * (BITS + 1) + d] = histogram[1][d];
            total[i * (BITS + 1) + d] = histogram[0][d] + histogram[1][d];
        }
    }
}
