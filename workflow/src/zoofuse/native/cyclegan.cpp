// The losses and gradients of one step of the kernel CycleGAN (cyclegan.py), LANES kernel sets at a time, one in each
// lane of a vector. Called by cyclegan_steps.py; compiled once per instruction set.
//
// Volumes are [channel][depth][row][column], 5 x 5 vectors a plane. All networks are two 3x3x3 convolutions with a few
// channels outside and many, hidden, between them. Hidden channels are worked on in blocks that stay in the core's
// cache through all that is done with them. A row's five sums stay in registers, so the third of the multiplications
// that are by padding zeros are left out, and nothing is copied into windows.
//
// Every group of LANES sets is a task, and every OCTET of sets has a gradient of its own. They are summed in their
// order, and a product is fused with a sum where `fused` says so and nowhere else. So the result depends neither on how
// many threads there are nor on LANES.
//
// Set by the compiler's command line: LANES, floats in a vector, and BLOCK (3: 16 registers, 6: 32 registers).
//
// Reference of networks, losses and gradients: autograd in float64, `reference` in
// tests/unit/test_cpp_cyclegan.py.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#if LANES < 8  // two of the processor's vectors in one
#undef LANES
#undef BLOCK
#define LANES 8
#define BLOCK 3
#endif

#include "fields.h"
#include "functions.h"
#include "simd.h"

namespace {

constexpr int S = 5, PLANE = S * S, TAPS = 27;     // rows and columns of a kernel; a window of 3 x 3 x 3
constexpr int CHANNELS = BLOCK == 3 ? 2 : 4;       // convolved at once: 5 sums each, beside a row and a weight
constexpr int OCTETS = LANES / OCTET;              // of kernel sets in a vector
constexpr int HIDDEN = 8;                          // hidden channels in a block
static_assert(HIDDEN % CHANNELS == 0, "blocks");

// rows[0][8 o + i] = the sum of octet o of rows[i]: halve the rows, adding what the lanes of each pair leave out.
template <int H, int... k> inline void sum_lanes(V* rows, std::integer_sequence<int, k...> lanes) {
#pragma GCC unroll 16
    for (int i = 0; i < H; i++)
        rows[i] = shuffle(rows[i], rows[i + H], std::integer_sequence<int, (k & H ? LANES + k : k)...>()) +
                  shuffle(rows[i], rows[i + H], std::integer_sequence<int, (k & H ? LANES + k - H : k + H)...>());
    if constexpr (H > 1) sum_lanes<H / 2>(rows, lanes);
}

// ---- convolutions ----

// sums += what one row of five contributes to a row of five, zero beyond its ends; weights: [3 columns][channel]
template <int M> inline void add_row(const V* row, const float* weights, V (&sums)[M][S]) {
    V x[S];
#pragma GCC unroll 5
    for (int i = 0; i < S; i++) x[i] = row[i];
#pragma GCC unroll 3
    for (int k = 0; k < 3; k++)
#pragma GCC unroll 4
        for (int m = 0; m < M; m++) {
            const V weight = broadcast(weights[k * M + m]);
#pragma GCC unroll 5
            for (int i = 0; i < S; i++)
                if (i + k >= 1 && i + k <= S) sums[m][i] = fused(x[i + k - 1], weight, sums[m][i]);
        }
}

struct Convolution {
    int from, to, depth;   // channels
    const float* weights;  // packed
    int packed_from;       // channels that `weights` are packed for; `from` of them are used
};

// sums, rows of M channels `step` apart, += the convolution at (d, r); weights: of these channels
template <int M>
void convolve_row(const Convolution& c, const V* in, const float* weights, int d, int r, V* sums, int64_t step) {
    constexpr int WAYS = M == 1 ? 2 : 1;  // one channel's five sums are too few to keep the units busy
    const int low = d ? 0 : 1, high = d < c.depth - 1 ? 3 : 2, top = r ? 0 : 1, bottom = r < S - 1 ? 3 : 2;
    const int64_t next = c.depth * PLANE;
    V part[WAYS][M][S] = {};
    for (int n = 0; n < c.from; n += WAYS) {
        const bool both = WAYS == 2 && n + 1 < c.from;
        for (int kd = low; kd < high; kd++)
            for (int kr = top; kr < bottom; kr++) {
                const V* row = in + n * next + (d + kd - 1) * PLANE + (r + kr - 1) * S;
                const float* taps = weights + (n * TAPS + (kd * 3 + kr) * 3) * M;
                add_row<M>(row, taps, part[0]);
                if (both) add_row<M>(row + next, taps + TAPS * M, part[WAYS - 1]);
            }
    }
#pragma GCC unroll 4
    for (int m = 0; m < M; m++)
#pragma GCC unroll 5
        for (int i = 0; i < S; i++) {
            if (WAYS == 2) part[0][m][i] += part[WAYS - 1][m][i];
            sums[m * step + i] += part[0][m][i];
        }
}

enum Mode { ACTIVATE, PASS_BACK, ADD };

struct Activation {
    const float* bias;  // (to,), before it
    float slope;        // below 0
};

// One plane of M output channels, from `first` on. ACTIVATE: out = activation of the convolution; PASS_BACK: out holds
// what an activation gave, and becomes the gradient before it; ADD: out += the convolution.
template <int M, Mode mode>
void convolve_plane(const Convolution& c, const Activation& a, const V* in, int first, int d, V* out) {
    const float* weights = c.weights + first * c.packed_from * TAPS;
    const int64_t next = c.depth * PLANE;
    for (int r = 0; r < S; r++) {
        V* to = out + first * next + d * PLANE + r * S;
        if (mode == ADD) {
            convolve_row<M>(c, in, weights, d, r, to, next);
            continue;
        }
        V sums[M][S];
        for (int m = 0; m < M; m++)
            for (int i = 0; i < S; i++) sums[m][i] = mode == ACTIVATE ? broadcast(a.bias[first + m]) : V{};
        convolve_row<M>(c, in, weights, d, r, sums[0], S);
        for (int m = 0; m < M; m++)
            for (int i = 0; i < S; i++) {
                const V sum = sums[m][i], sign = mode == ACTIVATE ? sum : to[m * next + i];
                to[m * next + i] = sign > 0 ? sum : sum * a.slope;
            }
    }
}

// How many channels are convolved at once of those that are left: in fours where there are registers, in pairs, and the
// last of an odd number alone, so that its sum is made in the same order with any registers.
constexpr int block(int left) { return left >= CHANNELS ? CHANNELS : left > 1 ? 2 : 1; }

template <Mode mode> void convolve(const Convolution& c, const Activation& a, const V* in, V* out) {
    for (int d = 0; d < c.depth; d++) {
        int first = 0;
        for (; first + CHANNELS <= c.to; first += CHANNELS) convolve_plane<CHANNELS, mode>(c, a, in, first, d, out);
        if (CHANNELS > 2 && c.to - first >= 2) convolve_plane<2, mode>(c, a, in, first, d, out), first += 2;
        if (c.to - first == 1) convolve_plane<1, mode>(c, a, in, first, d, out);
    }
}

// (to, from, 27) as convolve reads it: channels in the blocks above, [from][tap][channel] in each.
// to_step, from_step: floats between channels of `weights`. turned: the window back to front.
void pack(const float* weights, int to, int from, int to_step, int from_step, bool turned, float* packed) {
    for (int first = 0, m; first < to; first += m) {
        m = block(to - first);
        for (int n = 0; n < from; n++)
            for (int tap = 0; tap < TAPS; tap++)
                for (int i = 0; i < m; i++)
                    *packed++ = weights[(first + i) * to_step + n * from_step + (turned ? TAPS - 1 - tap : tap)];
    }
}

// The gradient of each octet, `next` floats after that of the one before.
struct Gradient {
    float* first;
    int64_t next;
    explicit operator bool() const { return first; }
    Gradient operator+(int64_t by) const { return {first + by, next}; }
    float& operator()(int octet, int at) const { return first[octet * next + at]; }
};

// gradient (27,) += the gradient of one output channel by the window through which it sees one input channel
void correlate(const V* out, const V* in, int depth, const Gradient& gradient) {
    V sums[(TAPS + OCTET - 1) / OCTET * OCTET] = {};
    for (int kd = 0; kd < 3; kd++) {
        V part[3][3] = {}, centre = {};  // part[1][1] gets most terms and would be waited for: two sums
        for (int d = kd ? 0 : 1; d < (kd < 2 ? depth : depth - 1); d++) {
            const V *own = out + d * PLANE, *seen = in + (d + kd - 1) * PLANE;
            for (int r = 0; r < S; r++, own += S, seen += S) {
                V g[S];
#pragma GCC unroll 5
                for (int i = 0; i < S; i++) g[i] = own[i];
#pragma GCC unroll 3
                for (int kr = 0; kr < 3; kr++)
                    if (r + kr >= 1 && r + kr <= S)
#pragma GCC unroll 5
                        for (int j = 0; j < S; j++) {
                            const V x = seen[(kr - 1) * S + j];
#pragma GCC unroll 3
                            for (int k = 0; k < 3; k++)
                                if (j + 1 - k >= 0 && j + 1 - k < S)
{
                                    V& sum = kr == 1 && k == 1 && j % 2 ? centre : part[kr][k];
                                    sum = fused(g[j + 1 - k], x, sum);
                                }
                        }
            }
        }
        part[1][1] += centre;
        for (int i = 0; i < 9; i++) sums[kd * 9 + i] = part[i / 3][i % 3];
    }
    for (int at = 0; at < TAPS; at += OCTET) {
        sum_lanes<OCTET / 2>(sums + at, std::make_integer_sequence<int, LANES>());
        for (int o = 0; o < OCTETS; o++)
            for (int i = 0; i < OCTET && at + i < TAPS; i++) gradient(o, at + i) += sums[at][o * OCTET + i];
    }
}

// gradient += the sum of x (n,)
void add_sum(const V* x, int n, const Gradient& gradient) {
    V part[S] = {};
    for (int at = 0; at < n; at += S)
#pragma GCC unroll 5
        for (int i = 0; i < S; i++) part[i] += x[at + i];
    const V sum = (part[0] + part[1]) + (part[2] + part[3]) + part[4];
    for (int o = 0; o < OCTETS; o++) gradient(o, 0) += total(sum, o);
}

// ---- networks ----

struct Shape {
    int channels, hidden, out, depth;
    int bias1() const { return hidden * channels * TAPS; }  // where each tensor begins in the flat parameters
    int weight2() const { return bias1() + hidden; }
    int bias2() const { return weight2() + out * hidden * TAPS; }
    int parameters() const { return bias2() + out; }
    int volume() const { return depth * PLANE; }
};

struct Network : Shape {
    float slope;        // of the activation between
    const float* flat;  // parameters
    std::vector<float> forward1, forward2, backward1, backward2;  // packed; backward: for the gradient by the inputs

    Network(Shape shape, float slope, const float* flat) : Shape(shape), slope(slope), flat(flat) {
        const float* second = flat + weight2();
        const int n1 = bias1(), n2 = out * hidden * TAPS, own1 = channels * TAPS, own2 = hidden * TAPS;
        forward1.resize(n1), backward1.resize(n1), forward2.resize(n2), backward2.resize(n2);
        pack(flat, hidden, channels, own1, TAPS, false, forward1.data());
        pack(flat, channels, hidden, TAPS, own1, true, backward1.data());
        pack(second, out, hidden, own2, TAPS, false, forward2.data());
        pack(second, hidden, out, TAPS, own2, true, backward2.data());
    }

    // x: (channels, volume) -> h: (hidden, volume) and y: (out, volume)
    void forward(const V* x, V* h, V* y) const {
        for (int k = 0; k < out; k++)
            for (int i = 0; i < volume(); i++) y[k * volume() + i] = broadcast(flat[bias2() + k]);
        for (int first = 0; first < hidden; first += HIDDEN) {
            const int n = hidden - first < HIDDEN ? hidden - first : HIDDEN;
            V* own = h + first * volume();
            convolve<ACTIVATE>({channels, n, depth, forward1.data() + first * channels * TAPS, channels},
                               {flat + bias1() + first, slope}, x, own);
            scatter(forward2, out, first, n, own, y);
        }
    }

    // dy: gradient by y; h becomes the gradient before its activation. Adds to gradient (parameters) and to dx
    // (channels, volume), unless null.
    void backward(const V* x, V* h, const V* dy, const Gradient& gradient, V* dx) const {
        if (gradient)
            for (int k = 0; k < out; k++) add_sum(dy + k * volume(), volume(), gradient + (bias2() + k));
        for (int first = 0; first < hidden; first += HIDDEN) {
            const int n = hidden - first < HIDDEN ? hidden - first : HIDDEN;
            V* own = h + first * volume();
            if (gradient)
                for (int i = 0; i < n; i++)
                    for (int k = 0; k < out; k++)
                        correlate(dy + k * volume(), own + i * volume(), depth,
                                  gradient + weight2() + (k * hidden + first + i) * TAPS);
            convolve<PASS_BACK>({out, n, depth, backward2.data() + first * out * TAPS, out}, {nullptr, slope}, dy, own);
            if (gradient)
                for (int i = 0; i < n; i++) {
                    add_sum(own + i * volume(), volume(), gradient + (bias1() + first + i));
                    for (int c = 0; c < channels; c++)
                        correlate(own + i * volume(), x + c * volume(), depth,
                                  gradient + ((first + i) * channels + c) * TAPS);
                }
            if (dx) scatter(backward1, channels, first, n, own, dx);
        }
    }

    // y (to, volume) += what n hidden channels from `first` on contribute
    void scatter(const std::vector<float>& packed, int to, int first, int n, const V* h, V* y) const {
        for (int k = 0, m; k < to; k += m) {
            m = block(to - k);
            convolve<ADD>({n, m, depth, packed.data() + (k * hidden + first * m) * TAPS, hidden}, {}, h,
                          y + k * volume());
        }
    }
};

// ---- losses ----

// Least squares of logits, or of their probabilities, to a target; logits become scale times their gradient.
// Each octet's loss goes to loss, `step` doubles apart.
void adversarial(V* logits, int n, bool probabilities, float target, V scale, double* loss, int step) {
    double sum[OCTETS] = {};
    for (int at = 0; at < n; at += PLANE) {
        V part = {};
        for (int i = at; i < at + PLANE; i++) {
            const V p = probabilities ? sigmoid(logits[i]) : logits[i], error = p - target;
            part = fused(error * error, scale, part);
            logits[i] = 2 * scale * error * (probabilities ? p * (1 - p) : broadcast(1));
        }
        for (int o = 0; o < OCTETS; o++) sum[o] += total(part, o);
    }
    for (int o = 0; o < OCTETS; o++) loss[o * step] = sum[o];
}

// Mean distance of y = tanh(before) to x; y becomes scale times its gradient by what was before tanh.
void distance(const V* x, V* y, int n, V scale, float weight, double* loss, int step) {
    double sum[OCTETS] = {};
    for (int at = 0; at < n; at += PLANE) {
        V part = {};
        for (int i = at; i < at + PLANE; i++) {
            const V made = tanh(y[i]), error = made - x[i];
            part = fused(error < 0 ? -error : error, scale, part);
            const V sign = error > 0 ? broadcast(1) : error < 0 ? broadcast(-1) : error;  // of 0: 0, of NaN: NaN
            y[i] = weight * scale * sign * fused(-made, made, broadcast(1));
        }
        for (int o = 0; o < OCTETS; o++) sum[o] += total(part, o);
    }
    for (int o = 0; o < OCTETS; o++) loss[o * step] = sum[o];
}

// ---- tasks ----

struct Sets {  // (elements, n) floats, kernel sets last
    const float* values;
    int64_t n;
};

int64_t groups(int64_t sets) { return (sets + LANES - 1) / LANES; }

struct Group {  // LANES sets from `first` on; lanes beyond the last are zero
    int64_t first;
    int lanes;
    V present;  // 1, or 0 in a lane without a set

    Group(const Sets& sets, int64_t number) : first(number * LANES) {
        lanes = sets.n - first < LANES ? sets.n - first : LANES;
        present = V{};
        for (int i = 0; i < lanes; i++) present[i] = 1;
    }

    void load(const Sets& sets, int elements, V* to) const {
        for (int at = 0; at < elements; at++) {
            const float* from = sets.values + at * sets.n + first;
            if (lanes == LANES) {
                to[at] = *(const Unaligned*)from;
            } else {
                to[at] = V{};
                std::memcpy(to + at, from, 4 * lanes);
            }
        }
    }

    void store(const V* from, int elements, float* to, int64_t n) const {
        for (int at = 0; at < elements; at++) std::memcpy(to + at * n + first, from + at, 4 * lanes);
    }
};

struct Arena {  // a thread's vectors
    explicit Arena(int64_t vectors) : memory((V*)::operator new(vectors * sizeof(V), std::align_val_t(64))) {}
    Arena(Arena&& other) : memory(std::exchange(other.memory, nullptr)) {}
    ~Arena() { ::operator delete(memory, std::align_val_t(64)); }
    V* memory;
};

// work(task, memory of the thread) for every task; each thread takes the next one that is left.
template <class Work> void run(int64_t threads, int64_t tasks, int64_t vectors, Work work) {
    if (threads > tasks) threads = tasks;
    std::vector<Arena> arenas;
    for (int64_t i = 0; i < threads; i++) arenas.emplace_back(vectors);
    std::atomic<int64_t> next{0};
    const auto loop = [&](V* memory) {
        for (int64_t task; (task = next++) < tasks;) work(task, memory);
    };
    std::vector<std::thread> others;
    for (int64_t i = 1; i < threads; i++) others.emplace_back(loop, arenas[i].memory);
    if (threads) loop(arenas[0].memory);
    for (std::thread& other : others) other.join();
}

// total (n,) = the sum of the parts, (count, n), in their order
void add_up(const std::vector<float>& parts, int64_t n, float* total) {
    std::memset(total, 0, 4 * n);
    for (size_t start = 0; start < parts.size(); start += n)
        for (int64_t i = 0; i < n; i++) total[i] += parts[start + i];
}

}  // namespace

typedef const float* RealPair[2];
typedef float* FakePair[2];
typedef int64_t CountPair[2];

#define STEP(FIELD)                                                                            \
    FIELD(int64_t, channels)                                                                   \
    FIELD(int64_t, depth)                                                                      \
    FIELD(int64_t, hidden)                                                                     \
    FIELD(int64_t, probabilities)                                                              \
    FIELD(int64_t, threads)                                                                    \
    FIELD(double, cycle_weight)                                                                \
    FIELD(double, identity_weight)                                                             \
    FIELD(const float*, generators)      /* flat: the one that makes B, the one that makes A */\
    FIELD(const float*, discriminators)  /* flat: of A, of B */                                \
    FIELD(RealPair, real)                /* A, B: (channels, depth, 5, 5, n) */                \
    FIELD(CountPair, reals)              /* and how many */                                    \
    FIELD(FakePair, fake)                /* A, B; in and out */                                \
    FIELD(CountPair, fakes)                                                                    \
    FIELD(float*, gradient)              /* of what the step trains */                         \
    FIELD(double*, losses)               /* generators: adversarial of the fakes of A, B, */   \
                                         /* cycle, identity; discriminators: of A, B */

SHARED_STRUCT(Step, STEP)  // cyclegan_steps.py has the same

extern "C" {

void zoofuse_generators(const Step* step) {
    const int channels = step->channels, depth = step->depth, hidden = step->hidden;
    const int elements = channels * depth * PLANE;
    const Shape makes = {channels, hidden, channels, depth}, judges = {channels, hidden, 1, depth};
    const int n = makes.parameters();
    const Network makers[2] = {{makes, 0, step->generators + n}, {makes, 0, step->generators}};  // of A, of B
    const Network judge[2] = {{judges, 0.2f, step->discriminators},
                              {judges, 0.2f, step->discriminators + judges.parameters()}};
    const int64_t of_a = groups(step->reals[0]), tasks = of_a + groups(step->reals[1]);
    std::vector<float> gradients(tasks * OCTETS * 2 * n);
    std::vector<double> losses(tasks * OCTETS * 3);
    const int64_t vectors = (int64_t)makes.volume() * (4 * channels + 1 + 2 * hidden);
    run(step->threads, tasks, vectors, [&](int64_t task, V* memory) {
        const int source = task >= of_a, target = 1 - source;
        const Sets sets = {step->real[source], step->reals[source]};
        const Group group(sets, source ? task - of_a : task);
        V *x = memory, *fake = x + elements, *y = fake + elements, *dfake = y + elements, *logits = dfake + elements;
        V *h = logits + makes.volume(), *kept = h + hidden * makes.volume();
        const Gradient own = {gradients.data() + task * OCTETS * 2 * n, 2 * n}, none = {};
        const Gradient by_target = own + (target ? 0 : n), by_source = own + (source ? 0 : n);
        double* loss = losses.data() + task * OCTETS * 3;
        const V scale = group.present / (float)(elements * sets.n);
        group.load(sets, elements, x);

        if (step->identity_weight) {
            makers[source].forward(x, h, y);
            distance(x, y, elements, scale, step->identity_weight, loss + 2, 3);
            makers[source].backward(x, h, y, by_source, nullptr);
        }
        makers[target].forward(x, kept, fake);
        for (int i = 0; i < elements; i++) fake[i] = tanh(fake[i]), dfake[i] = V{};
        group.store(fake, elements, step->fake[target], sets.n);

        judge[target].forward(fake, h, logits);
        adversarial(logits, makes.volume(), step->probabilities, 1, scale * (float)channels, loss, 3);
        judge[target].backward(fake, h, logits, none, dfake);

        makers[source].forward(fake, h, y);
        distance(x, y, elements, scale, step->cycle_weight, loss + 1, 3);
        makers[source].backward(fake, h, y, by_source, dfake);

        for (int i = 0; i < elements; i++) dfake[i] *= fused(-fake[i], fake[i], broadcast(1));
        makers[target].backward(x, kept, dfake, by_target, nullptr);
    });
    add_up(gradients, 2 * n, step->gradient);
    std::memset(step->losses, 0, 4 * sizeof(double));
    for (int64_t octet = 0; octet < tasks * OCTETS; octet++) {
        step->losses[octet < of_a * OCTETS] += losses[octet * 3];
        step->losses[2] += losses[octet * 3 + 1];
        step->losses[3] += losses[octet * 3 + 2];
    }
}

void zoofuse_discriminators(const Step* step) {
    const int channels = step->channels, depth = step->depth, hidden = step->hidden;
    const int elements = channels * depth * PLANE;
    const Shape judges = {channels, hidden, 1, depth};
    const int n = judges.parameters();
    const Network judge[2] = {{judges, 0.2f, step->discriminators}, {judges, 0.2f, step->discriminators + n}};
    const Sets sets[4] = {{step->real[0], step->reals[0]}, {step->real[1], step->reals[1]},
                          {step->fake[0], step->fakes[0]}, {step->fake[1], step->fakes[1]}};
    std::vector<std::pair<int, int64_t>> tasks;  // which sets, which group
    for (int which = 0; which < 4; which++)
        for (int64_t i = 0; i < groups(sets[which].n); i++) tasks.push_back({which, i});
    std::vector<float> gradients(tasks.size() * OCTETS * 2 * n);
    std::vector<double> losses(tasks.size() * OCTETS);
    const int64_t vectors = (int64_t)judges.volume() * (channels + 1 + hidden);
    run(step->threads, tasks.size(), vectors, [&](int64_t task, V* memory) {
        const auto [which, number] = tasks[task];
        const Group group(sets[which], number);
        V *x = memory, *logits = x + elements, *h = logits + judges.volume();
        group.load(sets[which], elements, x);
        judge[which % 2].forward(x, h, logits);
        const V scale = group.present / (float)(2 * judges.volume() * sets[which].n);
        const Gradient own = {gradients.data() + task * OCTETS * 2 * n, 2 * n};
        adversarial(logits, judges.volume(), step->probabilities, which < 2, scale, losses.data() + task * OCTETS, 1);
        judge[which % 2].backward(x, h, logits, own + which % 2 * n, nullptr);
    });
    add_up(gradients, 2 * n, step->gradient);
    std::memset(step->losses, 0, 2 * sizeof(double));
    for (size_t i = 0; i < losses.size(); i++) step->losses[tasks[i / OCTETS].first % 2] += losses[i];
}

}
