// The layers of a network, forward and backward, of LANES images at a time: one in each lane of a vector, so that every
// kernel is the plain scalar algorithm. Maps are [row][column][channel] with a ring of zeros for the next convolution's
// padding.
//
// The bits do not depend on LANES or BLOCK: each sum runs over the same terms in the same order, gradients by the
// parameters are summed over OCTET images (`add`), and a product is fused with a sum where `fused` says so only.
//
// Set by the compiler's command line (network_trainer.py): LAYERS_TABLE and BUFFERS_TABLE, the network.
//
// Reference of each layer: PyTorch in float64, `reference` in tests/unit/test_cpp_network.py.

#pragma once

#include <type_traits>

#include "functions.h"
#include "lanes.h"

namespace {

typedef float V8 __attribute__((vector_size(32), may_alias));
typedef uint32_t U __attribute__((vector_size(4 * LANES)));

enum Kind { CONV, MAX, AVERAGE, GLOBAL, RELU, GELU, SILU, TANH, LEAKY, DROPOUT, LINEAR };

struct Layer {
    Kind kind;
    int place;    // in Network.steps
    int in, out;  // buffers; the same one where a layer works in place
    int kernel, stride, padding, groups;
    int weight, bias;  // where they start in the flat parameters; -1: none
    bool relu;         // a convolution's own, of what it gives
    bool pool;         // a convolution's own max-pooling of 2 x 2
};

struct Buffer {
    int channels, size;  // size: rows and columns
    int ring;            // zeros around the values
    int side;            // zeros left and right of the gradient
};

constexpr Layer LAYERS[] = {LAYERS_TABLE};
constexpr Buffer BUFFERS[] = {BUFFERS_TABLE};
constexpr int DEPTH = sizeof LAYERS / sizeof *LAYERS, MAPS = sizeof BUFFERS / sizeof *BUFFERS;
constexpr int QUAD = 4;  // positions at once; QUAD * BLOCK accumulators must fit in the registers

constexpr int value_count(int b) {
    const int width = BUFFERS[b].size + 2 * BUFFERS[b].ring;
    return width * width * BUFFERS[b].channels;
}
constexpr int gradient_count(int b) {
    return BUFFERS[b].size * (BUFFERS[b].size + 2 * BUFFERS[b].side) * BUFFERS[b].channels;
}
constexpr int values_before(int b) { return b ? values_before(b - 1) + value_count(b - 1) : 0; }
constexpr int gradients_before(int b) { return b ? gradients_before(b - 1) + gradient_count(b - 1) : 0; }

template <int b> struct Map {
    static constexpr int CHANNELS = BUFFERS[b].channels, SIZE = BUFFERS[b].size, RING = BUFFERS[b].ring;
    static constexpr int SIDE = BUFFERS[b].side, COUNT = SIZE * SIZE * CHANNELS;
    static constexpr int LINE = (SIZE + 2 * RING) * CHANNELS, GRADIENT_LINE = (SIZE + 2 * SIDE) * CHANNELS;
    static constexpr int at(int row, int column) { return (row + RING) * LINE + (column + RING) * CHANNELS; }
    static constexpr int gradient_at(int row, int column) { return row * GRADIENT_LINE + (column + SIDE) * CHANNELS; }
};

constexpr int count_parameters() {
    int end = 0;
    for (int l = 0; l < DEPTH; l++) {
        const Layer& layer = LAYERS[l];
        const Buffer& in = BUFFERS[layer.in];
        const int out = BUFFERS[layer.out].channels;
        if (layer.weight < 0) continue;
        const int inputs = layer.kind == CONV ? in.channels / layer.groups * layer.kernel * layer.kernel
                                              : in.channels * in.size * in.size;
        end = layer.weight + out * inputs + (layer.bias < 0 ? 0 : out);
    }
    return end;
}
constexpr int first_trained() {
    int l = 0;
    while (LAYERS[l].weight < 0) l++;
    return l;
}
constexpr int PARAMETERS = count_parameters(), FIRST_TRAINED = first_trained();
constexpr int CLASSES = BUFFERS[MAPS - 1].channels;

// Calls work(size, first) for blocks that add up to N: as few as possible of at most MOST, in sizes that differ by one
// at the most. `size` is a constant.
template <int N, int MOST, class Work> inline void in_blocks(Work work) {
    constexpr int BLOCKS = (N + MOST - 1) / MOST, SMALL = N / BLOCKS, LARGER = N % BLOCKS;
    if constexpr (LARGER > 0)
        for (int i = 0; i < LARGER; i++) work(std::integral_constant<int, SMALL + 1>(), i * (SMALL + 1));
    for (int i = LARGER; i < BLOCKS; i++) work(std::integral_constant<int, SMALL>(), LARGER + i * SMALL);
}

template <int l> struct Convolution {
    static constexpr Layer L = LAYERS[l];
    using In = Map<L.in>;
    using Out = Map<L.out>;
    static constexpr int K = L.kernel, FROM = In::CHANNELS / L.groups, TO = Out::CHANNELS / L.groups;
    // A row of taps is one run of neighbours, unless groups cut it.
    static constexpr int RUNS = L.groups == 1 ? 1 : K, RUN = L.groups == 1 ? K * FROM : FROM;
    static constexpr int weight_at(int out, int in, int ky, int kx) {
        return L.weight + ((out * FROM + in) * K + ky) * K + kx;
    }
};

struct Dropout {
    bool active;
    uint64_t key;
    uint32_t step, threshold;
    float scale;
};

}  // namespace

#include "sparse.h"

namespace {

struct alignas(64) Workspace {
    V values[values_before(MAPS)], gradients[gradients_before(MAPS)];
    V8 sums[PARAMETERS];  // of the gradient: lane i of every eighth image from the i-th on
    float weights[PARAMETERS], mean[PARAMETERS], square[PARAMETERS], gradient[PARAMETERS];  // Adam's moments
    // A layer's weights where it has them in `weights`; blocks of channels, the channel running fastest.
    float forward[PARAMETERS], backward[PARAMETERS];
    int first, images;  // place in the batch of the first image of this group, and how many there are
    I present;          // lanes with an image
    Dropout dropout;
    SparseWorkspace sparse;
    I pixels[values_before(MAPS)];  // where a pooled value came from, in its image with its ring

    template <int b> V* value() { return values + values_before(b); }
    template <int b> V* gradient_of() { return gradients + gradients_before(b); }
};

// sum += a, octet after octet; lanes without an image hold what an earlier one left, which may be infinite
inline void add(const Workspace& my, V8& sum, V a) {
    if (my.images < LANES) a = my.present ? a : V{};
#pragma GCC unroll 2
    for (int i = 0; i < LANES / OCTET; i++) sum += ((const V8*)&a)[i];
}

// ---- convolution ----

// N positions of a row, or the window of a pooling: the greatest of it goes to `out`, and to `pixel` where it came from,
// -1 where ReLU stopped it. Ties and NaN as in PyTorch: the first maximum in row-major order wins, a NaN wins over
// numbers.
template <int l, int N, int CHANNELS>
inline void convolve_block(const V* in, const float* weights, const float* bias, V* out, I* pixel, int corner) {
    using C = Convolution<l>;
    constexpr int STEP = C::L.stride * C::In::CHANNELS, DOWN = C::L.stride * C::In::LINE;
    constexpr auto place = [](int q) { return C::L.pool ? q / 2 * DOWN + q % 2 * STEP : q * STEP; };
    V sum[N][CHANNELS];
#pragma GCC unroll 8
    for (int c = 0; c < CHANNELS; c++)
#pragma GCC unroll 4
        for (int q = 0; q < N; q++) sum[q][c] = C::L.bias < 0 ? V{} : broadcast(bias[c]);
    for (int ky = 0; ky < C::K; ky++)
        for (int run = 0; run < C::RUNS; run++) {
            const V* x = in + ky * C::In::LINE + run * C::In::CHANNELS;
#pragma GCC unroll 4
            for (int tap = 0; tap < C::RUN; tap++, weights += CHANNELS) {
                __asm__ volatile("" ::: "memory");  // or GCC keeps values for later taps and spills the sums
                V kernel[CHANNELS];
#pragma GCC unroll 8
                for (int c = 0; c < CHANNELS; c++) kernel[c] = broadcast(weights[c]);
#pragma GCC unroll 4
                for (int q = 0; q < N; q++) {
                    const V value = x[tap + place(q)];
#pragma GCC unroll 8
                    for (int c = 0; c < CHANNELS; c++) sum[q][c] = fused(value, kernel[c], sum[q][c]);
                }
            }
        }
    if constexpr (C::L.pool) {
        constexpr int WIDTH = C::In::SIZE + 2 * C::In::RING;
#pragma GCC unroll 8
        for (int c = 0; c < CHANNELS; c++) {
            V best = sum[0][c];
            I where = I{} + corner;
#pragma GCC unroll 3
            for (int q = 1; q < N; q++) {
                const I wins = (sum[q][c] > best) | (sum[q][c] != sum[q][c]);
                best = wins ? sum[q][c] : best;
                where = wins ? I{} + (corner + C::L.stride * (q / 2 * WIDTH + q % 2)) : where;
            }
            out[c] = C::L.relu ? (best < 0 ? V{} : best) : best;
            pixel[c] = C::L.relu ? (best <= 0 ? I{} - 1 : where) : where;
        }
        return;
    }
#pragma GCC unroll 4
    for (int q = 0; q < N; q++)
#pragma GCC unroll 8
        for (int c = 0; c < CHANNELS; c++)
            out[q * C::Out::CHANNELS + c] = C::L.relu ? (sum[q][c] < 0 ? V{} : sum[q][c]) : sum[q][c];
}

template <int l> void convolve(Workspace& my) {
    using C = Convolution<l>;
    using In = typename C::In;
    using Out = typename C::Out;
    const V* in = my.value<C::L.in>();
    V* out = my.value<C::L.out>();
    for (int row = 0; row < Out::SIZE; row++)
        for (int group = 0; group < C::L.groups; group++)
            in_blocks<C::TO, BLOCK>([&](auto size, int first) {
                constexpr int CHANNELS = decltype(size)::value, LEFT = Out::SIZE % QUAD;
                const int channel = group * C::TO + first;
                const float* weights = my.forward + C::L.weight + channel * C::FROM * C::K * C::K;
                const float* bias = my.weights + C::L.bias + channel;
                const auto block = [&](auto count, int column) {
                    constexpr int STRIDE = C::L.stride * (C::L.pool ? 2 : 1), WIDTH = In::SIZE + 2 * In::RING;
                    const int at = Out::at(row, column) + channel, padding = C::L.padding;
                    convolve_block<l, decltype(count)::value, CHANNELS>(
                        in + In::at(row * STRIDE - padding, column * STRIDE - padding) + group * C::FROM, weights, bias,
                        out + at, my.pixels + values_before(C::L.out) + at, STRIDE * (row * WIDTH + column));
                };
                const auto quad = std::integral_constant<int, QUAD>();
                if constexpr (C::L.pool) {
                    for (int column = 0; column < Out::SIZE; column++) block(quad, column);
                } else {
                    int column = 0;
                    for (; column + QUAD <= Out::SIZE; column += QUAD) block(quad, column);
                    if constexpr (LEFT > 0) block(std::integral_constant<int, LEFT>(), column);
                }
            });
}

template <int l> void pack_convolution(Workspace& my) {
    using C = Convolution<l>;
    constexpr int TAPS = C::K * C::K;
    for (int group = 0; group < C::L.groups; group++) {
        in_blocks<C::TO, BLOCK>([&](auto size, int first) {
            float* packed = my.forward + C::L.weight + (group * C::TO + first) * C::FROM * TAPS;
            for (int tap = 0; tap < TAPS; tap++)
                for (int in = 0; in < C::FROM; in++)
                    for (int c = 0; c < size; c++)
                        *packed++ = my.weights[C::weight_at(group * C::TO + first + c, in, 0, tap)];
        });
        if constexpr (!C::L.pool && l > FIRST_TRAINED) in_blocks<C::FROM, BLOCK>([&](auto size, int first) {
            float* packed = my.backward + C::L.weight + (group * C::FROM + first) * C::TO * TAPS;
            for (int tap = 0; tap < TAPS; tap++)
                for (int out = 0; out < C::TO; out++)
                    for (int c = 0; c < size; c++)
                        *packed++ = my.weights[C::weight_at(group * C::TO + out, first + c, 0, tap)];
        });
    }
}

// Some taps by some channels, over all positions.
template <int l, int TAPS, int CHANNELS> inline void correlate(const V* in, const V* gradient, V (&sum)[TAPS][CHANNELS]) {
    using C = Convolution<l>;
    for (int row = 0; row < C::Out::SIZE; row++)
        for (int column = 0; column < C::Out::SIZE; column++) {
            const V* x = in + row * C::L.stride * C::In::LINE + column * C::L.stride * C::In::CHANNELS;
            const V* g = gradient + C::Out::gradient_at(row, column);
            V by[CHANNELS];
#pragma GCC unroll 8
            for (int c = 0; c < CHANNELS; c++) by[c] = g[c];
#pragma GCC unroll 4
            for (int t = 0; t < TAPS; t++) {
                const V value = x[t];
#pragma GCC unroll 8
                for (int c = 0; c < CHANNELS; c++) sum[t][c] = fused(value, by[c], sum[t][c]);
            }
        }
}

template <int l> void convolution_weight_gradient(Workspace& my) {
    using C = Convolution<l>;
    const V* gradient = my.gradient_of<C::L.out>();
    for (int group = 0; group < C::L.groups; group++)
        for (int ky = 0; ky < C::K; ky++)
            for (int run = 0; run < C::RUNS; run++)
                in_blocks<C::RUN, QUAD>([&](auto taps, int first_tap) {
                    const V* in = my.value<C::L.in>() + C::In::at(ky - C::L.padding, run - C::L.padding) +
                                  group * C::FROM + first_tap;
                    in_blocks<C::TO, BLOCK>([&](auto size, int first) {
                        constexpr int TAPS = decltype(taps)::value, CHANNELS = decltype(size)::value;
                        const int channel = group * C::TO + first;
                        V sum[TAPS][CHANNELS] = {};
                        correlate<l, TAPS, CHANNELS>(in, gradient + channel, sum);
#pragma GCC unroll 4
                        for (int t = 0; t < TAPS; t++) {
                            const int tap = first_tap + t, kx = run + tap / C::FROM;
#pragma GCC unroll 8
                            for (int c = 0; c < CHANNELS; c++)
                                add(my, my.sums[C::weight_at(channel + c, tap % C::FROM, ky, kx)], sum[t][c]);
                        }
                    });
                });
    if constexpr (C::L.bias >= 0)
        in_blocks<C::Out::CHANNELS, 8>([&](auto size, int first) {
            V sum[decltype(size)::value] = {};
            for (int row = 0; row < C::Out::SIZE; row++)
                for (int column = 0; column < C::Out::SIZE; column++)
#pragma GCC unroll 8
                    for (int c = 0; c < size; c++) sum[c] += gradient[C::Out::gradient_at(row, column) + first + c];
            for (int c = 0; c < size; c++) add(my, my.sums[C::L.bias + first + c], sum[c]);
        });
}

// The gradient by what the convolution takes: each pixel gathers from the positions that it takes part in. QUAD pixels
// `stride` apart take part in the same way.
template <int l> void convolution_gradient(Workspace& my) {
    using C = Convolution<l>;
    using In = typename C::In;
    using Out = typename C::Out;
    constexpr int K = C::K, STRIDE = C::L.stride, PADDING = C::L.padding;
    const V* given = my.gradient_of<C::L.out>();
    V* result = my.gradient_of<C::L.in>();
    for (int y = 0; y < In::SIZE; y++)
        for (int group = 0; group < C::L.groups; group++)
            in_blocks<C::FROM, BLOCK>([&](auto size, int first) {
                constexpr int CHANNELS = decltype(size)::value;
                const int channel = group * C::FROM + first;
                const float* packed = my.backward + C::L.weight + channel * C::TO * K * K;
                for (int phase = 0; phase < STRIDE; phase++)
                    for (int x = phase; x < In::SIZE; x += QUAD * STRIDE) {
                        V sum[QUAD][CHANNELS] = {};
                        for (int ky = (y + PADDING) % STRIDE; ky < K && ky <= y + PADDING; ky += STRIDE) {
                            const int row = (y + PADDING - ky) / STRIDE;
                            if (row >= Out::SIZE) continue;
                            for (int kx = (x + PADDING) % STRIDE; kx < K; kx += STRIDE) {
                                const int over = x + PADDING - kx, column = over / STRIDE;  // over: whole strides
                                if (column >= Out::SIZE || column <= -QUAD) continue;
                                const V* g = given + Out::gradient_at(row, column) + group * C::TO;
                                const float* weights = packed + (ky * K + kx) * C::TO * CHANNELS;
#pragma GCC unroll 4
                                for (int out = 0; out < C::TO; out++, weights += CHANNELS) {
                                    __asm__ volatile("" ::: "memory");
                                    V kernel[CHANNELS];
#pragma GCC unroll 8
                                    for (int c = 0; c < CHANNELS; c++) kernel[c] = broadcast(weights[c]);
#pragma GCC unroll 4
                                    for (int q = 0; q < QUAD; q++) {
                                        const V value = g[q * Out::CHANNELS + out];
#pragma GCC unroll 8
                                        for (int c = 0; c < CHANNELS; c++) sum[q][c] = fused(value, kernel[c], sum[q][c]);
                                    }
                                }
                            }
                        }
                        for (int q = 0; q < QUAD && x + q * STRIDE < In::SIZE; q++)
#pragma GCC unroll 8
                            for (int c = 0; c < CHANNELS; c++)
                                result[In::gradient_at(y, x + q * STRIDE) + channel + c] = sum[q][c];
                    }
            });
}

// ---- linear ----

template <int l> struct Linear {
    static constexpr Layer L = LAYERS[l];
    using In = Map<L.in>;
    using Out = Map<L.out>;
    static constexpr int FROM = In::COUNT, TO = Out::CHANNELS, AREA = In::SIZE * In::SIZE;
    static constexpr int weight_at(int out, int in) {  // PyTorch has channels first
        return L.weight + out * FROM + in % In::CHANNELS * AREA + in / In::CHANNELS;
    }
    static constexpr int gradient_at(int in) { return In::gradient_at(in / In::CHANNELS / In::SIZE, in / In::CHANNELS % In::SIZE) + in % In::CHANNELS; }
};

template <int l> void multiply(Workspace& my) {
    using C = Linear<l>;
    const V* in = my.value<C::L.in>();
    V* out = my.value<C::L.out>();
    in_blocks<C::TO, BLOCK>([&](auto size, int first) {
        constexpr int CHANNELS = decltype(size)::value;
        const float* weights = my.forward + C::L.weight + first * C::FROM;
        V sum[QUAD][CHANNELS] = {};  // independent: shorter chains, smaller rounding
        int i = 0;
        for (; i + QUAD <= C::FROM; i += QUAD)
#pragma GCC unroll 4
            for (int q = 0; q < QUAD; q++, weights += CHANNELS)
#pragma GCC unroll 8
                for (int c = 0; c < CHANNELS; c++) sum[q][c] = fused(in[i + q], broadcast(weights[c]), sum[q][c]);
        for (; i < C::FROM; i++, weights += CHANNELS)
            for (int c = 0; c < CHANNELS; c++) sum[0][c] = fused(in[i], broadcast(weights[c]), sum[0][c]);
        for (int c = 0; c < CHANNELS; c++) {
            const V total = (sum[0][c] + sum[1][c]) + (sum[2][c] + sum[3][c]);
            out[first + c] = C::L.bias < 0 ? total : total + my.weights[C::L.bias + first + c];
        }
    });
}

template <int l> void pack_linear(Workspace& my) {
    using C = Linear<l>;
    in_blocks<C::TO, BLOCK>([&](auto size, int first) {
        float* packed = my.forward + C::L.weight + first * C::FROM;
        for (int in = 0; in < C::FROM; in++)
            for (int c = 0; c < size; c++) *packed++ = my.weights[C::weight_at(first + c, in)];
    });
    in_blocks<C::FROM, 8>([&](auto size, int first) {
        float* packed = my.backward + C::L.weight + first * C::TO;
        for (int out = 0; out < C::TO; out++)
            for (int i = 0; i < size; i++) *packed++ = my.weights[C::weight_at(out, first + i)];
    });
}

template <int l> void linear_weight_gradient(Workspace& my) {
    using C = Linear<l>;
    const V* in = my.value<C::L.in>();
    const V* given = my.gradient_of<C::L.out>();
    for (int i = 0; i < C::FROM; i++) {
        const V value = my.images < LANES ? (my.present ? in[i] : V{}) : in[i];
        for (int out = 0; out < C::TO; out++) {
            V8& sum = my.sums[C::weight_at(out, i)];
#pragma GCC unroll 2
            for (int octet = 0; octet < LANES / OCTET; octet++)
                sum = fused(((const V8*)&value)[octet], ((const V8*)(given + out))[octet], sum);
        }
    }
    if constexpr (C::L.bias >= 0)
        for (int out = 0; out < C::TO; out++) add(my, my.sums[C::L.bias + out], given[out]);
}

template <int l> void linear_gradient(Workspace& my) {
    using C = Linear<l>;
    const V* given = my.gradient_of<C::L.out>();
    V* result = my.gradient_of<C::L.in>();
    in_blocks<C::FROM, 8>([&](auto size, int first) {
        constexpr int N = decltype(size)::value;
        const float* weights = my.backward + C::L.weight + first * C::TO;
        V sum[N] = {};
        for (int out = 0; out < C::TO; out++, weights += N)
#pragma GCC unroll 8
            for (int i = 0; i < N; i++) sum[i] = fused(given[out], broadcast(weights[i]), sum[i]);
        for (int i = 0; i < N; i++) result[C::gradient_at(first + i)] = sum[i];
    });
}

// ---- pooling ----

// The first maximum of a window in row-major order; a NaN wins over numbers, as in PyTorch.
template <int l> inline V pooled(const V* in, I& winner) {
    using In = Map<LAYERS[l].in>;
    constexpr int K = LAYERS[l].kernel;
    V best = in[0];
    winner = I{};
    for (int q = 1; q < K * K; q++) {
        const V value = in[q / K * In::LINE + q % K * In::CHANNELS];
        const I wins = (value > best) | (value != value);
        best = wins ? value : best;
        winner = wins ? I{} + q : winner;
    }
    return best;
}

template <int l> void pool(Workspace& my) {
    constexpr Layer L = LAYERS[l];
    using In = Map<L.in>;
    using Out = Map<L.out>;
    constexpr int AREA = L.kernel * L.kernel;
    const V* in = my.value<L.in>();
    V* out = my.value<L.out>();
    for (int row = 0; row < Out::SIZE; row++)
        for (int column = 0; column < Out::SIZE; column++)
            for (int c = 0; c < In::CHANNELS; c++) {
                const V* window = in + In::at(row * L.stride, column * L.stride) + c;
                V& result = out[Out::at(row, column) + c];
                if constexpr (L.kind == MAX) {
                    I winner;
                    result = pooled<l>(window, winner);
                } else {
                    V sum = {};
                    for (int q = 0; q < AREA; q++)
                        sum += window[q / L.kernel * In::LINE + q % L.kernel * In::CHANNELS];
                    result = sum / (float)AREA;
                }
            }
}

template <int l> void pool_gradient(Workspace& my) {
    constexpr Layer L = LAYERS[l];
    using In = Map<L.in>;
    using Out = Map<L.out>;
    const V* in = my.value<L.in>();
    const V* given = my.gradient_of<L.out>();
    V* result = my.gradient_of<L.in>();
    for (int row = 0; row < In::SIZE; row++)
        for (int i = 0; i < In::SIZE * In::CHANNELS; i++) result[In::gradient_at(row, 0) + i] = V{};
    for (int row = 0; row < Out::SIZE; row++)
        for (int column = 0; column < Out::SIZE; column++)
            for (int c = 0; c < In::CHANNELS; c++) {
                const int top = row * L.stride, left = column * L.stride;
                const V gradient = given[Out::gradient_at(row, column) + c];
                I winner;
                if constexpr (L.kind == MAX) pooled<l>(in + In::at(top, left) + c, winner);
                for (int q = 0; q < L.kernel * L.kernel; q++) {
                    V& sum = result[In::gradient_at(top + q / L.kernel, left + q % L.kernel) + c];
                    if constexpr (L.kind == MAX)
                        sum += winner == q ? gradient : V{};
                    else
                        sum += gradient / (float)(L.kernel * L.kernel);
                }
            }
}

// ---- one value after another ----

// Wellons' lowbias32, as in dropout.py.
template <class T> inline T mixed(T x) {
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

// Lanes' hashes before the unit comes in.
// Reference: dropout.py.
inline U dropout_state(const Workspace& my, uint32_t place) {
    constexpr uint32_t STEP = 0x9E3779B9u;
    uint32_t state = 0;
    for (uint32_t word : {(uint32_t)my.dropout.key, (uint32_t)(my.dropout.key >> 32), my.dropout.step, place})
        state = mixed(state + STEP ^ word);
    U images;
    for (int i = 0; i < LANES; i++) images[i] = my.first + i;
    return mixed(U{} + (state + STEP) ^ images);
}

constexpr float HALF_ROOT = 0.70710678118654752f;

template <Kind kind> inline V activation(V x) {
    if constexpr (kind == RELU) return x < 0 ? V{} : x;
    if constexpr (kind == LEAKY) return x > 0 ? x : x * 0.01f;
    if constexpr (kind == TANH) return tanh(x);
    if constexpr (kind == SILU) return x / (1 + exponential(-x));
    if constexpr (kind == GELU) return x * 0.5f * (1 + error_function(x * HALF_ROOT));
}

// Of the gradient; `value` is what the layer gave where it works in place, and else what it took.
template <Kind kind> inline V derivative(V value, V gradient) {
    if constexpr (kind == RELU) return value <= 0 ? V{} : gradient;
    if constexpr (kind == LEAKY) return value > 0 ? gradient : gradient * 0.01f;
    if constexpr (kind == TANH) return gradient * (1 - value * value);
    if constexpr (kind == SILU) {
        const V share = sigmoid(value);
        return gradient * share * (1 + value * (1 - share));
    }
    if constexpr (kind == GELU) {
        const V share = 0.5f * (1 + error_function(value * HALF_ROOT));
        return gradient * (share + value * exponential(value * value * -0.5f) * 0.3989422804f);
    }
}

// Calls work(value taken, value given, gradient taken, gradient given, unit) for every value of a layer; unit: in
// PyTorch's order.
template <int l, class Work> inline void each(Workspace& my, Work work) {
    constexpr Layer L = LAYERS[l];
    using In = Map<L.in>;
    using Out = Map<L.out>;
    V *in = my.value<L.in>(), *out = my.value<L.out>();
    V *by_in = my.gradient_of<L.in>(), *by_out = my.gradient_of<L.out>();
    for (int row = 0; row < In::SIZE; row++)
        for (int column = 0; column < In::SIZE; column++)
            for (int c = 0; c < In::CHANNELS; c++)
                work(in[In::at(row, column) + c], out[Out::at(row, column) + c],
                     by_in[In::gradient_at(row, column) + c], by_out[Out::gradient_at(row, column) + c],
                     (c * In::SIZE + row) * In::SIZE + column);
}

// ---- all of them ----

template <int l> inline void forward_layer(Workspace& my) {
    constexpr Layer L = LAYERS[l];
    if constexpr (L.kind == CONV) convolve<l>(my);
    else if constexpr (L.kind == LINEAR) multiply<l>(my);
    else if constexpr (L.kind == MAX || L.kind == AVERAGE) pool<l>(my);
    else if constexpr (L.kind == GLOBAL) {
        using In = Map<L.in>;
        const V* in = my.value<L.in>();
        for (int c = 0; c < In::CHANNELS; c++) {
            V sum = {};
            for (int row = 0; row < In::SIZE; row++)
                for (int column = 0; column < In::SIZE; column++) sum += in[In::at(row, column) + c];
            my.value<L.out>()[c] = sum / (float)(In::SIZE * In::SIZE);
        }
    } else if constexpr (L.kind == DROPOUT) {
        if (my.dropout.active) {
            const U state = dropout_state(my, L.place);
            each<l>(my, [&](V& in, V& out, V&, V&, uint32_t unit) {
                out = mixed(state + 0x9E3779B9u * unit) >= my.dropout.threshold ? in * my.dropout.scale : V{};
            });
        } else if (L.in != L.out) {
            each<l>(my, [&](V& in, V& out, V&, V&, int) { out = in; });
        }
    } else {
        each<l>(my, [&](V& in, V& out, V&, V&, int) { out = activation<L.kind>(in); });
    }
    if constexpr (l + 1 < DEPTH) forward_layer<l + 1>(my);
}

template <int l> inline void backward_layer(Workspace& my) {
    constexpr Layer L = LAYERS[l];
    if constexpr (is_sparse(l)) {
        sparse_gradients<l>(my);
    } else if constexpr (L.kind == CONV) {
        if constexpr (L.relu) {
            using Out = Map<L.out>;
            const V* out = my.value<L.out>();
            V* gradient = my.gradient_of<L.out>();
            for (int row = 0; row < Out::SIZE; row++)
                for (int i = 0; i < Out::SIZE * Out::CHANNELS; i++) {
                    V& by = gradient[Out::gradient_at(row, 0) + i];
                    by = derivative<RELU>(out[Out::at(row, 0) + i], by);
                }
        }
        convolution_weight_gradient<l>(my);
        if constexpr (l > FIRST_TRAINED) convolution_gradient<l>(my);
    } else if constexpr (L.kind == LINEAR) {
        linear_weight_gradient<l>(my);
        if constexpr (l > FIRST_TRAINED) linear_gradient<l>(my);
    } else if constexpr (L.kind == MAX || L.kind == AVERAGE) {
        pool_gradient<l>(my);
    } else if constexpr (L.kind == GLOBAL) {
        using In = Map<L.in>;
        V* result = my.gradient_of<L.in>();
        for (int row = 0; row < In::SIZE; row++)
            for (int column = 0; column < In::SIZE; column++)
                for (int c = 0; c < In::CHANNELS; c++)
                    result[In::gradient_at(row, column) + c] = my.gradient_of<L.out>()[c] / (float)(In::SIZE * In::SIZE);
    } else if constexpr (L.kind == DROPOUT) {
        if (my.dropout.active) {
            const U state = dropout_state(my, L.place);
            each<l>(my, [&](V&, V&, V& in, V& out, uint32_t unit) {
                in = mixed(state + 0x9E3779B9u * unit) >= my.dropout.threshold ? out * my.dropout.scale : V{};
            });
        } else if (L.in != L.out) {
            each<l>(my, [&](V&, V&, V& in, V& out, int) { in = out; });
        }
    } else {
        each<l>(my, [&](V& from, V& to, V& in, V& out, int) {
            in = derivative<L.kind>(L.in == L.out ? to : from, out);
        });
    }
    if constexpr (l > FIRST_TRAINED) backward_layer<l - 1>(my);
}

template <int l = 0> inline void pack(Workspace& my) {
    if constexpr (LAYERS[l].kind == CONV) pack_convolution<l>(my);
    if constexpr (LAYERS[l].kind == LINEAR) pack_linear<l>(my);
    if constexpr (is_sparse(l)) pack_sparse<l>(my);
    if constexpr (l + 1 < DEPTH) pack<l + 1>(my);
}

// my.gradient from the sums.
template <int l = 0> inline void collect(Workspace& my) {
    constexpr Layer L = LAYERS[l];
    if constexpr (L.weight >= 0) {
        constexpr int OUT = Map<L.out>::CHANNELS;
        if constexpr (is_sparse(l)) {
            collect_sparse<l>(my);
        } else {
            const int count = L.kind == CONV ? OUT * Convolution<l>::FROM * L.kernel * L.kernel : OUT * Map<L.in>::COUNT;
            for (int i = L.weight; i < L.weight + count; i++) my.gradient[i] = total(my.sums[i]);
        }
        for (int i = L.bias; L.bias >= 0 && i < L.bias + OUT; i++) my.gradient[i] = total(my.sums[i]);
    }
    if constexpr (l + 1 < DEPTH) collect<l + 1>(my);
}

}  // namespace
