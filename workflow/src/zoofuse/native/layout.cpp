// The layout of UMAP for many sets of points at once (layout.py), one set in each lane.
//
// A set's updates follow one another, each waiting for the last one's power and quotient; those of W sets do not wait
// for each other. What is drawn, and in which order, is what umap-learn draws (McInnes, Healy and Melville 2018,
// algorithm 5), so a set's layout does not depend on the others. Nor does it depend on the width of
// the processor's vectors: AVX2 and AVX-512 give the same bits. Without fused multiply-adds some powers differ in their
// last digit, as umap-learn's own arithmetic then does.
//
// Reference: umap-learn, of which tests/unit/test_layout.py expects the same bits; a single update
// and `power` alone in tests/unit/test_scalar_references.py.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "fields.h"
#include "simd.h"

#define SET(FIELD)                                                                             \
    FIELD(float*, head)                                                                        \
    FIELD(float*, tail)       /* (points, 2); the same as head where all points move */        \
    FIELD(const int32_t*, from)                                                                \
    FIELD(const int32_t*, to)                                                                  \
    FIELD(const double*, every) /* epochs from one use of an edge to the next */               \
    FIELD(int64_t*, random)   /* (points of head, 3) */                                        \
    FIELD(int64_t, edges)                                                                      \
    FIELD(int64_t, epochs)                                                                     \
    FIELD(int64_t, others)                                                                     \
    FIELD(int64_t, move_other)                                                                 \
    FIELD(double, a)                                                                           \
    FIELD(double, b)                                                                           \
    FIELD(double, strength)                                                                    \
    FIELD(double, rate)                                                                        \
    FIELD(double, negatives)

SHARED_STRUCT(Set, SET)  // layout.py has the same

namespace {

constexpr int W = 16;      // sets at once: two vectors of doubles with AVX-512, four with AVX2
constexpr int RUN = 1024;  // updates between two looks at which lanes have come to an end

struct Update {
    int32_t point, other;  // other: as it is for one that is pushed off, its complement for an edge's end
};

// One set on its way: what its next epoch will do.
struct Lane {
    Set* set = nullptr;
    std::vector<double> next, next_negative;
    std::vector<Update> updates;
    size_t count = 0, done = 0;
    int64_t epoch = 0;

    void begin(Set* s) {
        set = s, epoch = 0, count = done = 0;
        next.assign(s->every, s->every + s->edges);
        next_negative.resize(s->edges);
        for (int64_t i = 0; i < s->edges; i++) next_negative[i] = s->every[i] / s->negatives;
    }

    double rate() const {  // of the epoch that was drawn last
        return epoch < 2 ? set->rate : set->rate * (1 - double(epoch - 2) / double(set->epochs));
    }

    bool draw() {  // the next epoch's updates; false at the end
        done = count = 0;
        for (; !count && epoch < set->epochs; epoch++)
            for (int64_t i = 0; i < set->edges; i++) {
                if (next[i] > double(epoch)) continue;
                const double between = set->every[i] / set->negatives;
                const int64_t n = std::max<int64_t>(int64_t((double(epoch) - next_negative[i]) / between), 0);
                next[i] += set->every[i];
                next_negative[i] += double(n) * between;
                if (updates.size() < count + n + 1) updates.resize(2 * (count + n + 1));
                updates[count] = {set->from[i], ~set->to[i]};
                draw_others(set->from[i], n, updates.data() + count + 1);
                count += n + 1;
            }
        return count;
    }

    void draw_others(int32_t point, int64_t n, Update* into) const {
        // L'Ecuyer 1996, "Maximally equidistributed combined Tausworthe generators"
        const uint64_t others = set->others, inverse = ~uint64_t(0) / others + 1;
        const int32_t offset = int32_t((others - (uint64_t(1) << 31) % others) % others);
        int64_t *state = set->random + 3 * point, s = state[0], t = state[1], u = state[2];
        for (int64_t k = 0; k < n; k++) {
            s = (((s & 4294967294) << 12) & 0xFFFFFFFF) ^ ((((s << 13) & 0xFFFFFFFF) ^ s) >> 19);
            t = (((t & 4294967288) << 4) & 0xFFFFFFFF) ^ ((((t << 2) & 0xFFFFFFFF) ^ t) >> 25);
            u = (((u & 4294967280) << 17) & 0xFFFFFFFF) ^ ((((u << 3) & 0xFFFFFFFF) ^ u) >> 11);
            const uint64_t part = inverse * (uint32_t(s ^ t ^ u) ^ 0x80000000);  // Lemire, Kaser and Kurz 2019
            const int32_t other = int32_t((unsigned __int128)(part) * others >> 64) + offset;
            into[k] = {point, other < int32_t(others) ? other : other - int32_t(others)};
        }
        state[0] = s, state[1] = t, state[2] = u;
    }
};

inline double from_bits(uint64_t x) {
    double value;
    std::memcpy(&value, &x, 8);
    return value;
}

inline uint64_t to_bits(double x) {
    uint64_t value;
    std::memcpy(&value, &x, 8);
    return value;
}

inline double power(double x, double y) {  // x > 0; about 1e-15 of the result while it is neither huge nor tiny
    constexpr uint64_t ONE = uint64_t(1) << 52, HALF_ROOT = 0x3FE6A09E667F3BCD, SHIFT = 0x4330000000000000;
    const uint64_t bits = to_bits(x), biased = (bits - HALF_ROOT + 1023 * ONE) >> 52;
    const double m = from_bits(bits - (biased - 1023) * ONE);  // from the root of a half to that of two
    const double s = (m - 1) / (m + 1), z = s * s;
    double series = 1 / 21.0;
    for (double n : {19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0}) series = series * z + 1 / n;
    const double log2 = (from_bits(biased | SHIFT) - from_bits(SHIFT | 1023)) + 2.8853900817779268 * s * series;
    const double t = y * log2, shifted = t + 6755399441055744.0, f = (t - (shifted - 6755399441055744.0)) * 0.6931471805599453;
    double sum = 1 / 6227020800.0;
    for (double c : {1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0, 1 / 40320.0, 1 / 5040.0, 1 / 720.0,
                     1 / 120.0, 1 / 24.0, 1 / 6.0, 0.5, 1.0, 1.0})
        sum = sum * f + c;
    return sum * from_bits((to_bits(shifted) + 1023) << 52);
}

inline float sum_of_squares(float x, float y) {  // rounded as umap-learn's is, whose compiler fuses the second square
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return fused(y, y, x * x);
#else
    return x * x + y * y;
#endif
}

inline double clipped(double x) { return x > 4 ? 4 : x < -4 ? -4 : x; }

}  // namespace

// Lay out n sets, in place.
extern "C" void zoofuse_layout(Set* sets, int64_t n) {
    static const std::vector<Update> nothing(RUN, Update{0, 0});
    float still[2] = {0, 0};
    std::vector<Lane> lanes(W);
    int64_t begun = 0;
    double a[W], b[W], pull[W], push[W], rate[W], moves[W];  // moves: the rate of an edge's end
    float *heads[W], *tails[W];
    const Update* updates[W];
    for (;;) {
        size_t run = RUN;
        bool busy = false;
        for (int l = 0; l < W; l++) {
            Lane& lane = lanes[l];
            while ((!lane.set || lane.done == lane.count) && !(lane.set && lane.draw())) {
                lane.set = nullptr;
                if (begun == n) break;
                lane.begin(sets + begun++);
            }
            const Set* s = lane.set;
            heads[l] = s ? s->head : still, tails[l] = s ? s->tail : still;
            updates[l] = s ? lane.updates.data() + lane.done : nothing.data();
            a[l] = s ? s->a : 1, b[l] = s ? s->b : 1;
            pull[l] = -2 * a[l] * b[l], push[l] = s ? 2 * s->strength * b[l] : 0;
            rate[l] = s ? lane.rate() : 0, moves[l] = s && s->move_other ? -rate[l] : 0;
            if (s) busy = true, run = std::min(run, lane.count - lane.done);
        }
        if (!busy) return;
        for (size_t r = 0; r < run; r++) {
            float *point[W], *other[W];
            alignas(64) float here[2 * W], there[2 * W];
            alignas(64) int32_t ends[W];  // -1 for an edge's end, 0 for one that is pushed off
#pragma GCC unroll 16
            for (int l = 0; l < W; l++) {
                const Update u = updates[l][r];
                ends[l] = u.other >> 31;
                point[l] = heads[l] + 2 * u.point, other[l] = tails[l] + 2 * (u.other ^ ends[l]);
                std::memcpy(here + 2 * l, point[l], 8), std::memcpy(there + 2 * l, other[l], 8);
            }
            for (int l = 0; l < W; l++) {
                const float x = here[2 * l], y = here[2 * l + 1], other_x = there[2 * l], other_y = there[2 * l + 1];
                const float dx = x - other_x, dy = y - other_y;
                const double squared = sum_of_squares(dx, dy), safe = squared > 0 ? squared : 1;
                const double raised = power(safe, b[l]), below = a[l] * raised + 1;
                const double over = (ends[l] ? 0 : 0.001) + safe;
                const double wanted = ends[l] ? pull[l] * raised : push[l];
                const double force = squared > 0 ? wanted / (over * below) : 0, back = ends[l] ? moves[l] : 0;
                const double gx = clipped(force * dx), gy = clipped(force * dy);
                here[2 * l] = float(gx * rate[l] + x), here[2 * l + 1] = float(gy * rate[l] + y);
                there[2 * l] = float(gx * back + other_x), there[2 * l + 1] = float(gy * back + other_y);
            }
#pragma GCC unroll 16
            for (int l = 0; l < W; l++)
                std::memcpy(point[l], here + 2 * l, 8), std::memcpy(other[l], there + 2 * l, 8);
        }
        for (int l = 0; l < W; l++)
            if (lanes[l].set) lanes[l].done += run;
    }
}
