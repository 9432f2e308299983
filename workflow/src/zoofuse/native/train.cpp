// Trains one CNN of the published architecture (3x32x32, conv 5x5 to 6, pool, conv 5x5 to 16, pool, linear to 2) with
// everything in the core's cache. Called by trainer.py, one CNN per thread; compiled once per instruction set.
//
// Forward: LANES images at a time, one in each lane of a vector, so that convolution, pooling and its argmax need no
// shuffles. The four positions of a pooling window are computed together in registers; only the winner is stored.
// Backward: image by image. Pooling and ReLU pass each gradient to at most one of four positions, so the work is a list
// of (pixel, gradient) pairs, a quarter of the dense one or less. With channels last a patch's row of 5 pixels is
// contiguous.
//
// The bits do not depend on LANES: what is summed over images is summed over OCTET images whatever a vector holds, and a
// product is fused with a sum where `fused` says so and nowhere else.
//
// Set by the compiler's command line: LANES, floats in a vector, and BLOCK, output channels at once (4 * BLOCK
// accumulators must fit in the registers).
//
// "Reference" names the plain computation that a test compares a kernel with; all are in tests/unit.

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "fields.h"
#include "lanes.h"
#include "published.h"
#include "simd.h"

namespace {

typedef float V8 __attribute__((vector_size(32), may_alias));

constexpr int PARTS = LANES < OCTET ? OCTET / LANES : 1;  // vectors filled before a step back
constexpr int GROUP = PARTS * LANES;                      // images in them
static_assert(LANES % OCTET == 0 || OCTET % LANES == 0, "whole octets");

constexpr int WIDE1 = (ROW1 + LANES - 1) / LANES, WIDE2 = (ROW2 + LANES - 1) / LANES;  // vectors in a row
constexpr int PAD = 16;                           // vectors may read this much past an image's end
constexpr int IMAGE_STRIDE = IMAGE + PAD, MAPS1_STRIDE = MAPS1 + PAD;
static_assert(PAD >= LANES && MAPS1 % 8 == 0, "padding");

struct Item {  // a gradient and where in its image the patch begins that it belongs to
    int32_t start;
    float gradient;
};

struct Sums {  // over a batch
    V8 linear[CLASSES][FEATURES], linear_bias[CLASSES];  // lane i: of every eighth image from the i-th on
    V kernel1[C1][K][WIDE1], kernel2[C2][K][WIDE2], bias1[C1], bias2[C2];
};

struct alignas(64) Workspace {
    // The CNN: flat parameters, Adam's moments, gradient.
    float weights[PARAMETERS], mean[PARAMETERS], square[PARAMETERS], gradient[PARAMETERS];
    alignas(64) float forward1[C1 * TAPS1], forward2[C2 * TAPS2];  // blocks of channels: [tap][channel]
    alignas(64) float backward2[C2][K * K][8];                     // [channel][ky * 5 + kx][input channel, padded]
    // A group of images. Lane i of a vector belongs to image i of its part; "channels last" inside an image.
    alignas(64) float image[GROUP * IMAGE_STRIDE], maps1[GROUP * MAPS1_STRIDE];
    alignas(64) int32_t pixel1[GROUP * MAPS1_STRIDE];  // where the maximum came from; -1 where ReLU stopped it
    V image_lanes[IMAGE], maps1_lanes[MAPS1];          // of one part
    V features[PARTS][FEATURES], logits[PARTS][CLASSES], feature_gradient[PARTS][FEATURES];
    I pixel1_lanes[MAPS1], pixel2[PARTS][FEATURES];
    V8 maps1_gradient[SIZE1 * SIZE1];
    Item items[OCTET * SIZE2 * SIZE2], items1[C1][SIZE1 * SIZE1];
    struct { int32_t pixel, channel; float gradient; } routed[FEATURES];
    Sums sums;
};

typedef float Share __attribute__((vector_size(4 * (LANES < OCTET ? LANES : OCTET)), may_alias));  // of an octet

// sum += a * b, and sum += a, of the images of this part: octet after octet where a vector holds several
inline void add_product(V8& sum, int part, const V& a, const V& b) {
    Share& own = ((Share*)&sum)[LANES < OCTET ? part : 0];
#pragma GCC unroll 2
    for (unsigned i = 0; i < sizeof(V) / sizeof(Share); i++) own = fused(((Share*)&a)[i], ((Share*)&b)[i], own);
}
inline void add(V8& sum, int part, const V& a) {
    Share& own = ((Share*)&sum)[LANES < OCTET ? part : 0];
    for (unsigned i = 0; i < sizeof(V) / sizeof(Share); i++) own += ((Share*)&a)[i];
}

// ---- images ----

struct Source {  // one lane's image, and how to augment it
    const uint8_t* bytes;
    bool flip;
    const float* gain;  // (3,) or null
};

// Fill this part of my.image, and my.image_lanes, line by line while it is near: x / 255, times the channel's gain and clipped,
// (x - 0.5) / 0.5, as PyTorch computes it.
void develop(Workspace& my, const Source* sources, int images, int part = 0) {
    float* developed = my.image + part * LANES * IMAGE_STRIDE;
    constexpr int LINE = SIZE * COLOURS;
    float gains[LANES][LINE];
    for (int i = 0; i < images; i++)
        for (int j = 0; j < LINE; j++) gains[i][j] = sources[i].gain ? sources[i].gain[j % COLOURS] : 1;
    uint8_t mirrored[LINE];
    for (int at = 0; at < IMAGE; at += LINE) {
        for (int i = 0; i < images; i++) {
            const uint8_t* line = sources[i].bytes + at;
            if (sources[i].flip) {
                for (int j = 0; j < LINE; j++) mirrored[j] = line[LINE - COLOURS - j / COLOURS * COLOURS + j % COLOURS];
                line = mirrored;
            }
            float* out = developed + i * IMAGE_STRIDE + at;
            for (int j = 0; j < LINE; j++) {
                const float x = line[j] / 255.0f * gains[i][j];
                out[j] = ((x > 1 ? 1 : x) - 0.5f) / 0.5f;
            }
        }
        into_lanes(developed + at, IMAGE_STRIDE, LINE, my.image_lanes + at);
    }
}

// ---- forward ----
// Reference: `logits` in test_scalar_references.py.

// One row of pooling windows, CHANNELS output channels from `first` on. Ties and NaN as in PyTorch: the first maximum
// in row-major order wins, a NaN wins over numbers.
template <int CHANNELS, int CIN, int WIDTH, int COUT>
void convolve_row(const V* in, int row, const float* weights, const float* bias, int first, V* out, I* pixel) {
    constexpr int POOLED = (WIDTH - K + 1) / 2, LINE = WIDTH * CIN;
    weights += first * K * K * CIN;
    for (int column = 0; column < POOLED; column++) {
        const V* window = in + (2 * row * WIDTH + 2 * column) * CIN;
        const float* w = weights;
        V sum[4][CHANNELS];
#pragma GCC unroll 8
        for (int c = 0; c < CHANNELS; c++) sum[0][c] = sum[1][c] = sum[2][c] = sum[3][c] = broadcast(bias[first + c]);
        for (int ky = 0; ky < K; ky++, window += LINE)
#pragma GCC unroll 5
            for (int tap = 0; tap < K * CIN; tap++, w += CHANNELS) {
                __asm__ volatile("" ::: "memory");  // or GCC keeps pixels for later taps and spills the sums
                V kernel[CHANNELS];
#pragma GCC unroll 8
                for (int i = 0; i < CHANNELS; i++) kernel[i] = broadcast(w[i]);
#pragma GCC unroll 4
                for (int q = 0; q < 4; q++) {  // one pixel in a register at a time: with 4, GCC runs out of 16
                    const V x = window[tap + q / 2 * LINE + q % 2 * CIN];
#pragma GCC unroll 8
                    for (int i = 0; i < CHANNELS; i++) sum[q][i] = fused(x, kernel[i], sum[q][i]);
                }
            }
        const int corner = 2 * row * WIDTH + 2 * column, at = (row * POOLED + column) * COUT + first;
#pragma GCC unroll 8
        for (int i = 0; i < CHANNELS; i++) {
            V best = sum[0][i];
            I where = I{} + corner;
#pragma GCC unroll 3
            for (int q = 1; q < 4; q++) {
                const I wins = (sum[q][i] > best) | (sum[q][i] != sum[q][i]);
                best = wins ? sum[q][i] : best;
                where = wins ? I{} + (corner + q / 2 * WIDTH + q % 2) : where;
            }
            out[at + i] = best < 0 ? V{} : best;
            pixel[at + i] = best > 0 ? where : I{} - 1;
        }
    }
}

// Output channels come in blocks of BLOCK and BLOCK - 1, which add up exactly to 6 and 16 for BLOCK 3 and 6.
constexpr int block(int left) { return left % BLOCK == 0 || left > (BLOCK - 1) * (BLOCK - 1) ? BLOCK : BLOCK - 1; }

template <int FIRST, int CIN, int WIDTH, int COUT>
void convolve_channels(const V* in, int row, const float* weights, const float* bias, V* out, I* pixel) {
    if constexpr (FIRST < COUT) {
        constexpr int CHANNELS = block(COUT - FIRST);
        convolve_row<CHANNELS, CIN, WIDTH, COUT>(in, row, weights, bias, FIRST, out, pixel);
        convolve_channels<FIRST + CHANNELS, CIN, WIDTH, COUT>(in, row, weights, bias, out, pixel);
    }
}

// (out, in, ky, kx) -> the blocks of convolve_channels, each [ky][kx][in][channel]
template <int FIRST, int CIN, int COUT> void pack_forward(const float* weights, float* packed) {
    if constexpr (FIRST < COUT) {
        constexpr int CHANNELS = block(COUT - FIRST);
        for (int tap = 0; tap < K * K; tap++)
            for (int in = 0; in < CIN; in++)
                for (int c = 0; c < CHANNELS; c++)
                    packed[(FIRST * K * K + tap * CHANNELS) * CIN + in * CHANNELS + c] =
                        weights[((FIRST + c) * CIN + in) * K * K + tap];
        pack_forward<FIRST + CHANNELS, CIN, COUT>(weights, packed);
    }
}

void pack(Workspace& my) {
    pack_forward<0, COLOURS, C1>(my.weights + W1, my.forward1);
    pack_forward<0, C1, C2>(my.weights + W2, my.forward2);
    for (int c = 0; c < C2; c++)
        for (int tap = 0; tap < K * K; tap++)
            for (int in = 0; in < C1; in++) my.backward2[c][tap][in] = my.weights[W2 + (c * C1 + in) * K * K + tap];
}

void forward(Workspace& my, int part = 0) {
    V* features = my.features[part];
    for (int row = 0; row < SIZE1; row++)
        convolve_channels<0, COLOURS, SIZE, C1>(my.image_lanes, row, my.forward1, my.weights + B1, my.maps1_lanes,
                                                my.pixel1_lanes);
    for (int row = 0; row < SIZE2; row++)
        convolve_channels<0, C1, SIZE1, C2>(my.maps1_lanes, row, my.forward2, my.weights + B2, features,
                                             my.pixel2[part]);
    for (int k = 0; k < CLASSES; k++) {
        const float* weights = my.weights + W3 + k * FEATURES;
        V sum[5] = {};  // independent: shorter chains, smaller rounding
        for (int p = 0; p < SIZE2 * SIZE2; p += 5)
            for (int c = 0; c < C2; c++)
#pragma GCC unroll 5
                for (int i = 0; i < 5; i++)
                    sum[i] = fused(features[(p + i) * C2 + c], broadcast(weights[c * SIZE2 * SIZE2 + p + i]), sum[i]);
        my.logits[part][k] = (sum[0] + sum[1]) + (sum[2] + sum[3]) + sum[4] + my.weights[B3 + k];
    }
}

// ---- backward ----
// Reference: autograd in float64, `reference` in test_cpp_trainer.py.

// sum[ky] += gradient * the patch's row ky, over a list; KY rows from FIRST on at a time, as registers allow.
template <int FIRST, int WIDE, int LINE>
void weight_gradient(const Item* items, int n, const float* images, V (*sum)[WIDE], V& bias) {
    constexpr int FIT = 4 * BLOCK / WIDE, KY = FIT < 1 ? 1 : FIT < K - FIRST ? FIT : K - FIRST;
    V part[KY][WIDE] = {}, bias_part = {};
    for (int i = 0; i < n; i++) {
        const V gradient = broadcast(items[i].gradient);
        const float* patch = images + items[i].start + FIRST * LINE;
#pragma GCC unroll 5
        for (int ky = 0; ky < KY; ky++)
#pragma GCC unroll 8
            for (int j = 0; j < WIDE; j++)
                part[ky][j] = fused(gradient, (V) * (const Unaligned*)(patch + ky * LINE + j * LANES), part[ky][j]);
        if (FIRST == 0) bias_part += gradient;
    }
    for (int ky = 0; ky < KY; ky++)
        for (int j = 0; j < WIDE; j++) sum[FIRST + ky][j] += part[ky][j];
    if (FIRST == 0) bias += bias_part;
    if constexpr (FIRST + KY < K) weight_gradient<FIRST + KY, WIDE, LINE>(items, n, images, sum, bias);
}

// Gradient of the loss by my.logits is given; the first `images` lanes hold images.
void backward(Workspace& my, const V (&logit_gradient)[PARTS][CLASSES], int images) {
    for (int part = 0; part < PARTS; part++) {
        const V* given = logit_gradient[part];
        for (int p = 0; p < SIZE2 * SIZE2; p++)
            for (int c = 0; c < C2; c++) {
                V gradient = {};
                for (int k = CLASSES - 1; k >= 0; k--) {  // the order of the sum decides its rounding
                    const float weight = my.weights[W3 + k * FEATURES + c * SIZE2 * SIZE2 + p];
                    gradient = fused(given[k], broadcast(weight), gradient);
                    add_product(my.sums.linear[k][p * C2 + c], part, given[k], my.features[part][p * C2 + c]);
                }
                my.feature_gradient[part][p * C2 + c] = gradient;
            }
        for (int k = 0; k < CLASSES; k++) add(my.sums.linear_bias[k], part, given[k]);
    }

    const float* gradient2 = (const float*)my.feature_gradient;
    const int32_t* pixel2 = (const int32_t*)my.pixel2;
    const auto place = [](int feature, int i) { return (i / LANES * FEATURES + feature) * LANES + i % LANES; };
    for (int first = 0; first < images; first += OCTET) {
        const int end = first + OCTET < images ? first + OCTET : images;
        for (int c = 0; c < C2; c++) {
            int n = 0;
            for (int p = 0; p < SIZE2 * SIZE2; p++)
                for (int i = first; i < end; i++) {
                    const int at = place(p * C2 + c, i);
                    my.items[n] = {pixel2[at] * C1 + i * MAPS1_STRIDE, gradient2[at]};
                    n += pixel2[at] >= 0;
                }
            weight_gradient<0, WIDE2, SIZE1 * C1>(my.items, n, my.maps1, my.sums.kernel2[c], my.sums.bias2[c]);
        }
    }
    for (int i = 0; i < images; i++) {
        int n = 0;
        for (int f = 0; f < FEATURES; f++) {
            my.routed[n] = {pixel2[place(f, i)], f % C2, gradient2[place(f, i)]};
            n += pixel2[place(f, i)] >= 0;
        }
        std::memset(my.maps1_gradient, 0, sizeof my.maps1_gradient);
        for (int j = 0; j < n; j++) {
            const V8* weights = (const V8*)my.backward2[my.routed[j].channel];
            V8* to = my.maps1_gradient + my.routed[j].pixel;
            const V8 gradient = my.routed[j].gradient - V8{};
#pragma GCC unroll 5
            for (int ky = 0; ky < K; ky++)
#pragma GCC unroll 5
                for (int kx = 0; kx < K; kx++) {
                    V8& sum = to[ky * SIZE1 + kx];
                    sum = fused(gradient, weights[ky * K + kx], sum);
                }
        }
        const int32_t* pixel1 = my.pixel1 + i * MAPS1_STRIDE;
        const float* gradient1 = (const float*)my.maps1_gradient;
        int count[C1] = {};
        for (int p = 0; p < SIZE1 * SIZE1; p++)
#pragma GCC unroll 6
            for (int c = 0; c < C1; c++) {
                const int32_t pixel = pixel1[p * C1 + c];
                my.items1[c][count[c]] = {pixel * COLOURS, gradient1[p * 8 + c]};
                count[c] += pixel >= 0;
            }
        const float* image = my.image + i * IMAGE_STRIDE;
        Sums& sums = my.sums;
        for (int c = 0; c < C1; c++)
            weight_gradient<0, WIDE1, SIZE * COLOURS>(my.items1[c], count[c], image, sums.kernel1[c], sums.bias1[c]);
    }
}

template <int CIN, int WIDE> void unpack(const V (&sum)[K][WIDE], float* gradient) {  // [ky][kx][in] -> (in, ky, kx)
    for (int ky = 0; ky < K; ky++)
        for (int kx = 0; kx < K; kx++)
            for (int in = 0; in < CIN; in++)
                gradient[(in * K + ky) * K + kx] = ((const float*)sum[ky])[kx * CIN + in];
}

void collect_gradient(Workspace& my) {
    for (int c = 0; c < C1; c++) {
        unpack<COLOURS>(my.sums.kernel1[c], my.gradient + W1 + c * TAPS1);
        my.gradient[B1 + c] = my.sums.bias1[c][0];
    }
    for (int c = 0; c < C2; c++) {
        unpack<C1>(my.sums.kernel2[c], my.gradient + W2 + c * TAPS2);
        my.gradient[B2 + c] = my.sums.bias2[c][0];
    }
    for (int k = 0; k < CLASSES; k++) {
        for (int p = 0; p < SIZE2 * SIZE2; p++)
            for (int c = 0; c < C2; c++)
                my.gradient[W3 + k * FEATURES + c * SIZE2 * SIZE2 + p] = total(my.sums.linear[k][p * C2 + c]);
        my.gradient[B3 + k] = total(my.sums.linear_bias[k]);
    }
}

struct Batch {
    const uint8_t *images, *labels;  // all of them
    const float* targets;            // (images, 2) of all of them, or null; labels do not matter then
    const int32_t* order;            // rows of this batch
    const uint8_t* flip;             // or null
    const float* gain;               // (size, 3), or null
    int64_t size;
};

// Both outputs as predictions of their own for two targets in [0, 1], NaN where unknown: the sum of their logistic losses, and
// its gradients by the logits of one lane.
// Reference: PyTorch's loop, in `test_two_answers_are_learnt_alike_everywhere` of test_distil.py.
double logistic(const V (&logits)[CLASSES], const float* targets, int lane, int64_t size, V (&gradient)[CLASSES]) {
    double loss = 0;
    for (int k = 0; k < CLASSES; k++) {
        if (targets[k] != targets[k]) continue;
        const double z = logits[k][lane];
        loss += (z > 0 ? z : 0) - z * targets[k] + std::log1p(std::exp(-std::fabs(z)));
        gradient[k][lane] = (float)(1 / (1 + std::exp(-z)) - targets[k]) / size;
    }
    return loss;
}

// Cross-entropy, or the loss of `logistic`, summed over the batch; its mean's gradient goes to my.gradient.
double loss_and_gradient(Workspace& my, const Batch& batch) {
    my.sums = {};
    double loss = 0;
    for (int64_t start = 0; start < batch.size; start += GROUP) {
        const int images = batch.size - start < GROUP ? batch.size - start : GROUP;
        for (int part = 0; part * LANES < images; part++) {
            const int here = images - part * LANES < LANES ? images - part * LANES : LANES;
            Source sources[LANES];
            for (int i = 0; i < here; i++) {
                const int64_t j = start + part * LANES + i;
                sources[i] = {batch.images + (int64_t)batch.order[j] * IMAGE, batch.flip && batch.flip[j],
                              batch.gain ? batch.gain + j * COLOURS : nullptr};
            }
            develop(my, sources, here, part);
            forward(my, part);
            out_of_lanes(my.maps1_lanes, MAPS1, my.maps1 + part * LANES * MAPS1_STRIDE, MAPS1_STRIDE);
            out_of_lanes(my.pixel1_lanes, MAPS1, my.pixel1 + part * LANES * MAPS1_STRIDE, MAPS1_STRIDE);
        }
        for (int part = 0; images < GROUP && part < PARTS; part++) {
            I absent = {};  // lanes without an image hold what an earlier one left, which may be infinite
            for (int i = 0; i < LANES; i++) absent[i] = part * LANES + i < images ? 0 : -1;
            for (V& feature : my.features[part]) feature = absent ? V{} : feature;
        }
        V gradient[PARTS][CLASSES] = {};
        for (int i = 0; i < images; i++) {
            const V(&logits)[CLASSES] = my.logits[i / LANES];
            V(&own)[CLASSES] = gradient[i / LANES];
            const int lane = i % LANES;
            if (batch.targets) {
                const float* targets = batch.targets + CLASSES * (int64_t)batch.order[start + i];
                loss += logistic(logits, targets, lane, batch.size, own);
                continue;
            }
            const int label = batch.labels[batch.order[start + i]];
            const double lead = (double)logits[1 - label][lane] - logits[label][lane];  // of the wrong class
            loss += (lead > 0 ? lead : 0) + std::log1p(std::exp(-std::fabs(lead)));
            const float wrong = 1 / (1 + std::exp(-lead)) / batch.size;
            own[label][lane] = -wrong;
            own[1 - label][lane] = wrong;
        }
        backward(my, gradient, images);
    }
    collect_gradient(my);
    return loss;
}

// torch.optim.Adam's step (betas 0.9, 0.999, epsilon 1e-8), in its order of operations.
// Reference: `adam` in test_scalar_references.py.
void adam(Workspace& my, double rate, int64_t step) {
    const float size = rate / (1 - std::pow(0.9, step)), root = std::sqrt(1 - std::pow(0.999, step));
    for (int i = 0; i < PARAMETERS; i++) {
        const float g = my.gradient[i];
        my.mean[i] = fused(g - my.mean[i], 0.1f, my.mean[i]);
        my.square[i] = fused(my.square[i], 0.999f, g * g * 0.001f);
        my.weights[i] = fused(-size, my.mean[i] / (std::sqrt(my.square[i]) / root + 1e-8f), my.weights[i]);
    }
    pack(my);
}

// Adds to predicted[label] how many of the images are taken for class 1.
// Reference: `test_adam_and_validation` in test_scalar_references.py.
void validate(Workspace& my, const uint8_t* images, const uint8_t* labels, int64_t n, int64_t* predicted) {
    for (int64_t start = 0; start < n; start += LANES) {
        const int group = n - start < LANES ? n - start : LANES;
        Source sources[LANES];
        for (int i = 0; i < group; i++) sources[i] = {images + (start + i) * IMAGE, false, nullptr};
        develop(my, sources, group);
        forward(my);
        for (int i = 0; i < group; i++) predicted[labels[start + i]] += !(my.logits[0][0][i] > my.logits[0][1][i]);
    }
}

}  // namespace

#define JOB(FIELD)                                                                             \
    FIELD(const uint8_t*, images)                                                              \
    FIELD(const uint8_t*, labels)                                                              \
    FIELD(const uint8_t*, validation_images)                                                   \
    FIELD(const uint8_t*, validation_labels)                                                   \
    FIELD(const float*, targets)    /* (images, 2) or null */                                  \
    FIELD(const int32_t*, order)    /* (epochs, per_epoch) */                                  \
    FIELD(const uint8_t*, flip)     /* (epochs, per_epoch) or null */                          \
    FIELD(const float*, gain)       /* (epochs, per_epoch, 3) or null */                       \
    FIELD(const double*, rates)     /* (steps,) */                                             \
    FIELD(int64_t, validation)      /* images */                                               \
    FIELD(int64_t, epochs)                                                                     \
    FIELD(int64_t, per_epoch)                                                                  \
    FIELD(int64_t, batch_size)                                                                 \
    FIELD(int64_t, checkpoint_every)                                                           \
    FIELD(float*, weights)          /* (3674,) in and out */                                   \
    FIELD(float*, checkpoints)      /* (k, 3674) */                                            \
    FIELD(double*, loss)            /* (epochs,) */                                            \
    FIELD(int64_t*, predicted)       /* (epochs, 2) */                                          \
    FIELD(int64_t*, passes)         /* images trained on so far */                             \
    FIELD(int64_t*, stop)           /* read after each step */

SHARED_STRUCT(Job, JOB)  // trainer.py has the same

extern "C" {

// Reference: PyTorch's loop, in `test_backends_agree_with_the_plain_loop` of test_training.py.
void zoofuse_train(const Job* job) {
    std::unique_ptr<Workspace> my(new Workspace());  // zeros
    std::memcpy(my->weights, job->weights, sizeof my->weights);
    pack(*my);
    int64_t step = 0;
    for (int64_t epoch = 0; epoch < job->epochs; epoch++) {
        double loss = 0;
        for (int64_t start = 0; start < job->per_epoch; start += job->batch_size) {
            if (__atomic_load_n(job->stop, __ATOMIC_RELAXED)) return;
            const int64_t at = epoch * job->per_epoch + start, left = job->per_epoch - start;
            const Batch batch = {job->images, job->labels, job->targets, job->order + at,
                                 job->flip ? job->flip + at : nullptr,
                                 job->gain ? job->gain + at * COLOURS : nullptr,
                                 left < job->batch_size ? left : job->batch_size};
            loss += loss_and_gradient(*my, batch);
            adam(*my, job->rates[step], step + 1);
            step++;
            __atomic_store_n(job->passes, at + batch.size, __ATOMIC_RELAXED);
        }
        job->loss[epoch] = loss / job->per_epoch;
        validate(*my, job->validation_images, job->validation_labels, job->validation, job->predicted + 2 * epoch);
        const int64_t every = job->checkpoint_every;
        if (every && (epoch + 1) % every == 0)
            std::memcpy(job->checkpoints + epoch / every * PARAMETERS, my->weights, sizeof my->weights);
    }
    std::memcpy(job->weights, my->weights, sizeof my->weights);
}

// The outputs (n, 2) for n images.
void zoofuse_logits(const uint8_t* images, int64_t n, const float* weights, float* logits) {
    std::unique_ptr<Workspace> my(new Workspace());
    std::memcpy(my->weights, weights, sizeof my->weights);
    pack(*my);
    for (int64_t start = 0; start < n; start += LANES) {
        const int group = n - start < LANES ? n - start : LANES;
        Source sources[LANES];
        for (int i = 0; i < group; i++) sources[i] = {images + (start + i) * IMAGE, false, nullptr};
        develop(*my, sources, group);
        forward(*my);
        for (int i = 0; i < group; i++)
            for (int k = 0; k < CLASSES; k++) logits[(start + i) * CLASSES + k] = my->logits[0][k][i];
    }
}

// The loss of one batch, a mean, and its gradient by the parameters, in PyTorch's order.
double zoofuse_gradient(const uint8_t* images, const uint8_t* labels, const float* targets, const int32_t* order,
                        const uint8_t* flip, const float* gain, int64_t size, const float* weights, float* gradient) {
    std::unique_ptr<Workspace> my(new Workspace());
    std::memcpy(my->weights, weights, sizeof my->weights);
    pack(*my);
    const double loss = loss_and_gradient(*my, {images, labels, targets, order, flip, gain, size});
    std::memcpy(gradient, my->gradient, sizeof my->gradient);
    return loss / size;
}

// Floating-point operations per second of this thread on nothing but fused multiply-adds in registers: the best of many
// short stretches, as other programs may run on the core.
double zoofuse_peak(double seconds) {
    constexpr int CHAINS = 12, ROUNDS = 20000;
    V sum[CHAINS] = {}, a = broadcast(0.999f), b = broadcast(0.001f);
    double best = 0, passed = 0;
    while (passed < seconds) {
        __asm__ volatile("" : "+m"(a), "+m"(b));
        const V factor = a, term = b;
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < ROUNDS; i++)
#pragma GCC unroll 12
            for (int j = 0; j < CHAINS; j++) sum[j] = fused(sum[j], factor, term);
        __asm__ volatile("" : : "m"(sum) : "memory");
        const double stretch = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        best = std::fmax(best, 2.0 * LANES * CHAINS * ROUNDS / stretch);
        passed += stretch;
    }
    return best;
}

}
