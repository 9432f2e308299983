// Layers of the published architecture in the shared memory of a thread block, forward and backward: each convolution
// with its pooling, the linear layer, and the gradients of all. Included by blocks.cu.

#pragma once

#include "published.h"

namespace {

constexpr int WARP = 32, THREADS = 2 * WARP * GROUP;  // two warps for an image
static_assert(GROUP % 2 == 0, "a warp takes two images at once");

// ---- what differs between the two compilers ----

#define UNROLL _Pragma("unroll")  // arrays in registers, for the GPU
#define KEEP _Pragma("unroll 1")

#ifdef __CUDACC_RTC__
constexpr int OWN = 1;  // threads whose values are kept over a barrier in one array; a thread's place there is own(t)
__forceinline__ int own(int) { return 0; }

template <class Work> __forceinline__ void phase(Work work) {
    work(threadIdx.x);
    __syncthreads();
}

// N floats at the address of a vector of WIDE of them, 4, 2 or 1.
template <int N, int WIDE = 1> __forceinline__ void copy(const float* from, float* to) {
    if constexpr (N >= 4 && WIDE == 4) {
        const float4 v = *(const float4*)from;
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
        copy<N - 4, WIDE>(from + 4, to + 4);
    } else if constexpr (N >= 2 && WIDE >= 2) {
        const float2 v = *(const float2*)from;
        to[0] = v.x, to[1] = v.y;
        copy<N - 2, WIDE>(from + 2, to + 2);
    } else if constexpr (N >= 1) {
        *to = *from;
        copy<N - 1, WIDE>(from + 1, to + 1);
    }
}
#else
#define __forceinline__ inline
constexpr int OWN = THREADS;
inline int own(int t) { return t; }

int order = 0;  // of a phase's threads: 0 forwards, 1 backwards, 2 mixed

template <class Work> void phase(Work work) {
    for (int k = 0; k < THREADS; k++)
        work(order == 0 ? k : order == 1 ? THREADS - 1 - k : (k * 37 + 11) % THREADS);
}

template <int N, int WIDE = 1> void copy(const float* from, float* to) {
    for (int i = 0; i < N; i++) to[i] = from[i];
}
#endif

// ---- the CNN in shared memory ----

// Floats from one line to the next and from one image to the next, chosen so that the lanes of a warp that read a
// patch's taps, or two images, find them in different banks, of which there are 32.
constexpr int LINE0 = 111, STRIDE0 = SIZE * LINE0 + 1;    // images
constexpr int LINE1 = 94, STRIDE1 = SIZE1 * LINE1 + 2;    // maps after the first pooling
constexpr int WIDTH2 = 2 * SIZE2, MARGIN = K - 1;         // conv2's output, of which pooling drops nothing
constexpr int LINE2 = WIDTH2 + 2 * MARGIN, STRIDE2 = C2 * WIDTH2 * LINE2 + 14;
constexpr int PADDED = 8;                                 // channels after a tap that are read as vectors
constexpr int PARTS = C1 * TAPS1 + C1;                    // of conv1's gradient
constexpr uint8_t NOWHERE = 255;                          // where ReLU stopped a window's winner
static_assert(LINE0 + COLOURS < NOWHERE && LINE1 + C1 < NOWHERE, "places in a window fit in a byte");
static_assert(STRIDE2 <= STRIDE0 && 2 * PARTS <= STRIDE0, "they take turns in Block::image");

struct Block {
    // The CNN, each convolution's kernels in the order in which they are read.
    alignas(16) float kernels1[TAPS1 * PADDED];           // [ky][kx][colour][channel, padded]
    alignas(16) float kernels2[TAPS2 * C2];               // [ky][kx][in][channel]
    alignas(16) float backward2[C2 * K * K * PADDED];     // [channel][ky][kx][in, padded]
    float linear[CLASSES * FEATURES];                     // [class][position][channel]
    float bias[C1 + C2 + CLASSES];
    float gradient[PARAMETERS];                           // of the batch, in PyTorch's order
    float level[256];                                     // a byte / 255
    // A group of images, channels last.
    alignas(16) float image[GROUP * STRIDE0];             // in turns with conv2's gradient and parts of conv1's
    alignas(16) float maps[GROUP * STRIDE1];              // then their gradient
    float features[GROUP * FEATURES];                     // then their gradient
    uint8_t where1[GROUP * SIZE1 * SIZE1 * PADDED], where2[GROUP * FEATURES];  // in its window each winner was
    float dots[GROUP * CLASSES][WARP + 1];                // parts of the logits
    float logit_gradient[GROUP][CLASSES];
    double losses[GROUP], loss;
    int32_t predicted[GROUP][CLASSES];                    // class 1, for images of each class
};

// A patch's tap [ky][kx][in] in PyTorch's (in, ky, kx).
template <int IN> __forceinline__ int place(int tap) { return tap % IN * K * K + tap / IN; }

__forceinline__ void pack(Block& my, int at, float weight) {
    if (at < B1) {
        const int c = at / TAPS1, in = at % TAPS1 / (K * K), tap = at % (K * K);
        my.kernels1[(tap * COLOURS + in) * PADDED + c] = weight;
    } else if (at < W2) {
        my.bias[at - B1] = weight;
    } else if (at < B2) {
        const int c = (at - W2) / TAPS2, in = (at - W2) % TAPS2 / (K * K), tap = (at - W2) % (K * K);
        my.kernels2[(tap * C1 + in) * C2 + c] = weight;
        my.backward2[(c * K * K + tap) * PADDED + in] = weight;
    } else if (at < W3) {
        my.bias[C1 + at - B2] = weight;
    } else if (at < B3) {
        const int k = (at - W3) / FEATURES, f = (at - W3) % FEATURES;
        my.linear[k * FEATURES + f % (SIZE2 * SIZE2) * C2 + f / (SIZE2 * SIZE2)] = weight;
    } else {
        my.bias[C1 + C2 + at - B3] = weight;
    }
}

// ---- forward ----

struct Group {  // images that are worked on together
    const uint8_t* images;
    const int32_t* order;  // their rows; null: from `first` on
    int64_t first;
    const uint8_t* flip;  // or null
    const float* gain;    // (count, 3) or null
    int count;
};

__forceinline__ void develop(Block& my, const Group& group, int t) {
    for (int at = t; at < group.count * SIZE * SIZE; at += THREADS) {
        const int i = at / (SIZE * SIZE), y = at / SIZE % SIZE, x = at % SIZE;
        const int64_t row = group.order ? group.order[i] : group.first + i;
        const int from = group.flip && group.flip[i] ? SIZE - 1 - x : x;
        const uint8_t* bytes = group.images + row * IMAGE + (y * SIZE + from) * COLOURS;
        float* out = my.image + i * STRIDE0 + y * LINE0 + x * COLOURS;
        UNROLL for (int c = 0; c < COLOURS; c++) {
            const float value = my.level[bytes[c]] * (group.gain ? group.gain[i * COLOURS + c] : 1);
            out[c] = ((value > 1 ? 1 : value) - 0.5f) / 0.5f;
        }
    }
}

// The winner of one pooling window for OUT channels, after ReLU, and where it was. Ties and NaN as in train.cpp. Input
// channels are read PASS at a time, as registers allow.
template <int IN, int PASS, int OUT, int TAP, int LINE>
__forceinline__ void convolve(const float* window, const float* kernels, const float* bias, float* out,
                              uint8_t* where) {
    constexpr int PIXELS = K + 1;
    float sum[4][OUT];
    UNROLL for (int c = 0; c < OUT; c++) sum[0][c] = sum[1][c] = sum[2][c] = sum[3][c] = bias[c];
    KEEP for (int in = 0; in < IN; in += PASS) {
        const float* line = window + in;
        float upper[PIXELS * PASS], lower[PIXELS * PASS];
        UNROLL for (int x = 0; x < PIXELS; x++) copy<PASS, PASS == 2 ? 2 : 1>(line + x * IN, lower + x * PASS);
        KEEP for (int ky = 0; ky < K; ky++) {
            line += LINE;
            UNROLL for (int i = 0; i < PIXELS * PASS; i++) upper[i] = lower[i];
            UNROLL for (int x = 0; x < PIXELS; x++) copy<PASS, PASS == 2 ? 2 : 1>(line + x * IN, lower + x * PASS);
            UNROLL for (int kx = 0; kx < K; kx++)
                UNROLL for (int e = 0; e < PASS; e++) {
                    float kernel[OUT];
                    copy<OUT, 4>(kernels + ((ky * K + kx) * IN + in + e) * TAP, kernel);
                    UNROLL for (int c = 0; c < OUT; c++) {
                        sum[0][c] = fmaf(upper[kx * PASS + e], kernel[c], sum[0][c]);
                        sum[1][c] = fmaf(upper[(kx + 1) * PASS + e], kernel[c], sum[1][c]);
                        sum[2][c] = fmaf(lower[kx * PASS + e], kernel[c], sum[2][c]);
                        sum[3][c] = fmaf(lower[(kx + 1) * PASS + e], kernel[c], sum[3][c]);
                    }
                }
        }
    }
    UNROLL for (int c = 0; c < OUT; c++) {
        float best = sum[0][c];
        int at = 0;
        UNROLL for (int q = 1; q < 4; q++)
            if (sum[q][c] > best || sum[q][c] != sum[q][c]) {
                best = sum[q][c];
                at = q / 2 * LINE + q % 2 * IN;
            }
        out[c] = best < 0 ? 0 : best;
        where[c] = best > 0 ? at : NOWHERE;
    }
}

__forceinline__ void convolve1(Block& my, int count, int t) {
    // Half a warp takes a row of 14 windows, the other half the same row of the next image.
    constexpr int HALF = WARP / 2;
    KEEP for (int at = t; at < GROUP * SIZE1 * HALF; at += THREADS) {
        const int x = at % HALF, y = at / WARP % SIZE1, i = at / WARP / SIZE1 * 2 + at / HALF % 2;
        if (x >= SIZE1 || i >= count) continue;
        convolve<COLOURS, COLOURS, C1, PADDED, LINE0>(
            my.image + i * STRIDE0 + 2 * y * LINE0 + 2 * x * COLOURS, my.kernels1, my.bias,
            my.maps + i * STRIDE1 + y * LINE1 + x * C1, my.where1 + ((i * SIZE1 + y) * SIZE1 + x) * PADDED);
    }
}

__forceinline__ void convolve2(Block& my, int count, int t) {
    // The first half of the threads takes the first half of the channels; neighbours take one window of two images.
    constexpr int SOME = C2 / 2, WINDOWS = SIZE2 * SIZE2;
    const int c = t / (THREADS / 2) * SOME, at = t % (THREADS / 2);
    const int p = at / 2 % WINDOWS, i = at / 2 / WINDOWS * 2 + at % 2;
    if (at >= WINDOWS * GROUP || i >= count) return;
    const float* window = my.maps + i * STRIDE1 + p / SIZE2 * 2 * LINE1 + p % SIZE2 * 2 * C1;
    const int feature = i * FEATURES + p * C2 + c;
    convolve<C1, 2, SOME, C2, LINE1>(window, my.kernels2 + c, my.bias + C1 + c, my.features + feature,
                                     my.where2 + feature);
}

__forceinline__ void dot(Block& my, int count, int t) {  // a warp for each image and class
    const int lane = t % WARP, i = t / WARP / CLASSES, k = t / WARP % CLASSES;
    float sum = 0;
    if (i < count)
        for (int f = lane; f < FEATURES; f += WARP)
            sum = fmaf(my.features[i * FEATURES + f], my.linear[k * FEATURES + f], sum);
    my.dots[t / WARP][lane] = sum;
}

__forceinline__ void forward(Block& my, const Group& group) {
    phase([&](int t) { develop(my, group, t); });
    phase([&](int t) { convolve1(my, group.count, t); });
    phase([&](int t) { convolve2(my, group.count, t); });
    phase([&](int t) { dot(my, group.count, t); });
}

__forceinline__ float logit(const Block& my, int i, int k) {
    float sum = my.bias[C1 + C2 + k];
    for (int lane = 0; lane < WARP; lane++) sum += my.dots[i * CLASSES + k][lane];
    return sum;
}

// ---- backward ----

// The linear layer's gradient; features become their own.
__forceinline__ void back_linear(Block& my, int count, int t) {
    for (int f = t; f < FEATURES; f += THREADS) {
        float* gradient = my.gradient + W3 + f % C2 * SIZE2 * SIZE2 + f / C2;
        float sum[CLASSES] = {gradient[0], gradient[FEATURES]};
        for (int i = 0; i < count; i++) {
            float& feature = my.features[i * FEATURES + f];
            const float* given = my.logit_gradient[i];
            UNROLL for (int k = 0; k < CLASSES; k++) sum[k] = fmaf(given[k], feature, sum[k]);
            const float back = fmaf(given[0], my.linear[f], given[1] * my.linear[FEATURES + f]);
            feature = my.where2[i * FEATURES + f] == NOWHERE ? 0 : back;
        }
        UNROLL for (int k = 0; k < CLASSES; k++) gradient[k * FEATURES] = sum[k];
    }
    if (t < CLASSES)
        for (int i = 0; i < count; i++) my.gradient[B3 + t] += my.logit_gradient[i][t];
}

// Gradient of conv2's kernels: a warp for a channel and a lane for every 32nd tap, over the winners of all images.
__forceinline__ void back_kernels2(Block& my, int count, int t) {
    constexpr int EACH = (TAPS2 + WARP - 1) / WARP;
    const int lane = t % WARP;
    int offset[EACH];
    UNROLL for (int j = 0; j < EACH; j++) {
        const int tap = lane + WARP * j;
        offset[j] = tap < TAPS2 ? tap / ROW2 * LINE1 + tap % ROW2 : 0;
    }
    KEEP for (int c = t / WARP; c < C2; c += THREADS / WARP) {
        float* gradient = my.gradient + W2 + c * TAPS2;
        float sum[EACH], bias = lane ? 0 : my.gradient[B2 + c];
        UNROLL for (int j = 0; j < EACH; j++)
            sum[j] = lane + WARP * j < TAPS2 ? gradient[place<C1>(lane + WARP * j)] : 0;
        KEEP for (int i = 0; i < count; i++)
            KEEP for (int y = 0; y < SIZE2; y++)
                UNROLL for (int x = 0; x < SIZE2; x++) {
                    const int f = i * FEATURES + (y * SIZE2 + x) * C2 + c, where = my.where2[f];
                    if (where == NOWHERE) continue;
                    const float given = my.features[f];
                    const float* patch = my.maps + i * STRIDE1 + 2 * y * LINE1 + 2 * x * C1 + where;
                    UNROLL for (int j = 0; j < EACH; j++) sum[j] = fmaf(given, patch[offset[j]], sum[j]);
                    bias += given;
                }
        UNROLL for (int j = 0; j < EACH; j++)
            if (lane + WARP * j < TAPS2) gradient[place<C1>(lane + WARP * j)] = sum[j];
        if (!lane) my.gradient[B2 + c] = bias;
    }
}

// The gradient of conv2's output, where its winners were; the rest of it is zero already.
__forceinline__ void spread(Block& my, int count, int t) {
    for (int at = t; at < count * FEATURES; at += THREADS) {
        const int where = my.where2[at];
        if (where == NOWHERE) continue;
        const int i = at / FEATURES, p = at % FEATURES / C2, c = at % C2;
        const int y = p / SIZE2 * 2 + where / LINE1, x = p % SIZE2 * 2 + (where % LINE1 > 0);
        my.image[i * STRIDE2 + (c * WIDTH2 + y) * LINE2 + MARGIN + x] = my.features[at];
    }
}

// Gradient of the maps: a thread for 2 x 2 pixels and all channels.
__forceinline__ void back_maps(Block& my, int count, int t) {
    constexpr int HALF = SIZE1 / 2;
    const int y = t / (HALF * GROUP) * 2, i = t % (HALF * GROUP) / HALF, x = t % HALF * 2;
    if (y >= SIZE1 || i >= count) return;
    float sum[4][C1] = {};
    KEEP for (int c = 0; c < C2; c++) {
        const float* given = my.image + i * STRIDE2 + c * WIDTH2 * LINE2 + x;
        float upper[K + 1] = {}, lower[K + 1] = {};  // lines y - ky and y + 1 - ky
        if (y + 1 < WIDTH2) copy<K + 1, 2>(given + (y + 1) * LINE2, upper);
        KEEP for (int ky = 0; ky < K; ky++) {
            const int line = y - ky;
            UNROLL for (int k = 0; k <= K; k++) {
                lower[k] = upper[k];
                upper[k] = 0;
            }
            if (line >= 0 && line < WIDTH2) copy<K + 1, 2>(given + line * LINE2, upper);
            if (line < -1 || line > WIDTH2 - 1) continue;
            UNROLL for (int kx = 0; kx < K; kx++) {
                float kernel[C1];
                copy<C1, 4>(my.backward2 + (c * K * K + ky * K + kx) * PADDED, kernel);
                UNROLL for (int in = 0; in < C1; in++) {
                    sum[0][in] = fmaf(upper[K - 1 - kx], kernel[in], sum[0][in]);
                    sum[1][in] = fmaf(upper[K - kx], kernel[in], sum[1][in]);
                    sum[2][in] = fmaf(lower[K - 1 - kx], kernel[in], sum[2][in]);
                    sum[3][in] = fmaf(lower[K - kx], kernel[in], sum[3][in]);
                }
            }
        }
    }
    UNROLL for (int q = 0; q < 4; q++)
        UNROLL for (int in = 0; in < C1; in++)
            my.maps[i * STRIDE1 + (y + q / 2) * LINE1 + (x + q % 2) * C1 + in] = sum[q][in];
}

constexpr int EACH1 = (TAPS1 + WARP - 1) / WARP;

// Gradient of conv1's kernels and bias from half an image: a warp for each half, a lane for every 32nd tap.
__forceinline__ void back_kernels1(const Block& my, int count, int t, float (&sum)[C1][EACH1 + 1]) {
    const int lane = t % WARP, i = t / WARP / 2, half = t / WARP % 2;
    int offset[EACH1];
    UNROLL for (int j = 0; j < EACH1; j++) {
        const int tap = lane + WARP * j;
        offset[j] = tap < TAPS1 ? tap / ROW1 * LINE0 + tap % ROW1 : 0;
    }
    UNROLL for (int c = 0; c < C1; c++)
        UNROLL for (int j = 0; j <= EACH1; j++) sum[c][j] = 0;
    if (i >= count) return;
    KEEP for (int y = half * SIZE1 / 2; y < (half + 1) * SIZE1 / 2; y++)
        KEEP for (int x = 0; x < SIZE1; x++) {
            float given[C1];
            copy<C1, 2>(my.maps + i * STRIDE1 + y * LINE1 + x * C1, given);
            const uint8_t* wheres = my.where1 + ((i * SIZE1 + y) * SIZE1 + x) * PADDED;
            const float* window = my.image + i * STRIDE0 + 2 * y * LINE0 + 2 * x * COLOURS;
            UNROLL for (int c = 0; c < C1; c++) {
                const int where = wheres[c];
                if (where == NOWHERE) continue;
                UNROLL for (int j = 0; j < EACH1; j++) sum[c][j] = fmaf(given[c], window[where + offset[j]], sum[c][j]);
                sum[c][EACH1] += given[c];
            }
        }
}

__forceinline__ void backward(Block& my, const Group& group) {
    const int count = group.count;
    phase([&](int t) {
        back_linear(my, count, t);
        for (int at = t; at < count * STRIDE2; at += THREADS) my.image[at] = 0;
        if (!t)
            for (int i = 0; i < count; i++) my.loss += my.losses[i];
    });
    phase([&](int t) {
        back_kernels2(my, count, t);
        spread(my, count, t);
    });
    phase([&](int t) { back_maps(my, count, t); });
    phase([&](int t) { develop(my, group, t); });
    float sum[OWN][C1][EACH1 + 1];  // in registers, until the images in the place of the parts have been read
    phase([&](int t) { back_kernels1(my, count, t, sum[own(t)]); });
    phase([&](int t) {
        const int lane = t % WARP;
        float* part = my.image + t / WARP * PARTS;
        UNROLL for (int c = 0; c < C1; c++) {
            UNROLL for (int j = 0; j < EACH1; j++)
                if (lane + WARP * j < TAPS1) part[c * TAPS1 + place<COLOURS>(lane + WARP * j)] = sum[own(t)][c][j];
            if (!lane) part[B1 + c] = sum[own(t)][c][EACH1];
        }
    });
    phase([&](int t) {
        for (int at = t; at < PARTS; at += THREADS)
            for (int half = 0; half < 2 * count; half++) my.gradient[at] += my.image[half * PARTS + at];
    });
}

}  // namespace
