// Trains CNNs of the published architecture on a GPU, one CNN in each thread block. Weights, activations and gradients
// are in the block's shared memory; Adam's moments, read once for each batch, are not. One launch is an epoch and
// the validation after it. Called by cuda_trainer.py.
//
// One source for two compilers. NVRTC makes the GPU's code. For tests, the CPU's compiler turns each phase between two
// barriers into a loop over the block's threads, in any order.
//
// Sums over images are taken image after image, and a product is fused with a sum by fmaf and nowhere else. So the bits
// depend neither on GROUP nor on the order of threads.
//
// Set by the compiler's command line: GROUP, images at a time (as many as shared memory holds), and the sizes of Block
// and Job that Python counts on.

#ifdef __CUDACC_RTC__
typedef unsigned char uint8_t;
typedef int int32_t;
typedef long long int64_t;
#else
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#endif

#include "block_layers.h"
#include "fields.h"

#define JOB(FIELD)                                                                             \
    FIELD(const uint8_t*, images)                                                              \
    FIELD(const uint8_t*, labels)                                                              \
    FIELD(const uint8_t*, validation_images)                                                   \
    FIELD(const uint8_t*, validation_labels)                                                   \
    FIELD(const float*, targets)    /* (images, 2) or null */                                  \
    FIELD(const int32_t*, order)    /* (CNNs, per_epoch) */                                    \
    FIELD(const uint8_t*, flip)     /* (CNNs, per_epoch) or null */                            \
    FIELD(const float*, gain)       /* (CNNs, per_epoch, 3) or null */                         \
    FIELD(const float*, steps)      /* (batches, 2): rate / (1 - 0.9^t), sqrt(1 - 0.999^t) */  \
    FIELD(int64_t, cnns)                                                                       \
    FIELD(int64_t, validation)      /* images */                                               \
    FIELD(int64_t, per_epoch)                                                                  \
    FIELD(int64_t, batch_size)                                                                 \
    FIELD(float*, weights)          /* (CNNs, 3674) in and out */                              \
    FIELD(float*, mean)             /* Adam's moments, (CNNs, 3674) in and out */              \
    FIELD(float*, square)                                                                      \
    FIELD(double*, loss)            /* (CNNs,) */                                              \
    FIELD(int64_t*, predicted)      /* (CNNs, 2) */                                            \
    FIELD(float*, gradient)         /* (CNNs, 3674) or null; not null: of the first batch, and no step is taken */

SHARED_STRUCT(Job, JOB)  // cuda_trainer.py has the same
static_assert(sizeof(Job) == JOB_BYTES && sizeof(Block) == BLOCK_BYTES, "cuda_trainer.py counts on other sizes");

namespace {

// ---- an epoch ----

// Of image i, whose losses and gradients by the logits are those of train.cpp.
__forceinline__ void loss(Block& my, const Job& job, int64_t row, int size, int i) {
    const float z[CLASSES] = {logit(my, i, 0), logit(my, i, 1)};
    double loss = 0;
    if (job.targets) {
        for (int k = 0; k < CLASSES; k++) {
            const float target = job.targets[row * CLASSES + k];
            const bool known = target == target;
            if (known) loss += (z[k] > 0 ? z[k] : 0) - (double)z[k] * target + log1p(exp(-fabs((double)z[k])));
            my.logit_gradient[i][k] = known ? (float)(1 / (1 + exp(-(double)z[k])) - target) / size : 0;
        }
    } else {
        const int label = job.labels[row];
        const double lead = (double)z[1 - label] - z[label];  // of the wrong class
        loss = (lead > 0 ? lead : 0) + log1p(exp(-fabs(lead)));
        const float wrong = 1 / (1 + exp(-lead)) / size;
        my.logit_gradient[i][label] = -wrong;
        my.logit_gradient[i][1 - label] = wrong;
    }
    my.losses[i] = loss;
}

// As train.cpp's `adam`, which PyTorch's follows.
__forceinline__ void adam(Block& my, const Job& job, int64_t first, float rate, float root, int t) {
    for (int at = t; at < PARAMETERS; at += THREADS) {
        float &mean = job.mean[first + at], &square = job.square[first + at], &weight = job.weights[first + at];
        const float gradient = my.gradient[at];
        mean = fmaf(gradient - mean, 0.1f, mean);
        square = fmaf(square, 0.999f, gradient * gradient * 0.001f);
        weight = fmaf(-rate, mean / (sqrtf(square) / root + 1e-8f), weight);
        my.gradient[at] = 0;
        pack(my, at, weight);
    }
}

__forceinline__ void validate(Block& my, const Job& job, int64_t cnn) {
    const int images = job.validation;
    for (int at = 0; at < images; at += GROUP) {
        const int count = images - at < GROUP ? images - at : GROUP;
        forward(my, {job.validation_images, nullptr, at, nullptr, nullptr, count});
        phase([&](int t) {
            if (t < count && !(logit(my, t, 0) > logit(my, t, 1))) my.predicted[t][job.validation_labels[at + t]]++;
        });
    }
    phase([&](int t) {
        if (t >= CLASSES) return;
        int64_t sum = 0;
        for (int i = 0; i < GROUP; i++) sum += my.predicted[i][t];
        job.predicted[cnn * CLASSES + t] = sum;
    });
}

__forceinline__ void train(Block& my, const Job& job, int64_t cnn) {
    const int64_t parameters = cnn * PARAMETERS;
    phase([&](int t) {
        for (int at = t; at < 256; at += THREADS) my.level[at] = at / 255.0f;
        for (int at = t; at < PARAMETERS; at += THREADS) {
            my.gradient[at] = 0;
            pack(my, at, job.weights[parameters + at]);
        }
        if (t < GROUP) my.predicted[t][0] = my.predicted[t][1] = 0;
        if (!t) my.loss = 0;
    });
    const int per_epoch = job.per_epoch, most = job.batch_size < per_epoch ? job.batch_size : per_epoch;
    for (int start = 0, batch = 0; start < per_epoch; start += most, batch++) {
        const int size = per_epoch - start < most ? per_epoch - start : most;
        for (int done = 0; done < size; done += GROUP) {
            const int64_t at = cnn * per_epoch + start + done;
            const int count = size - done < GROUP ? size - done : GROUP;
            const Group group = {job.images, job.order + at, 0, job.flip ? job.flip + at : nullptr,
                                 job.gain ? job.gain + at * COLOURS : nullptr, count};
            forward(my, group);
            phase([&](int t) {
                if (t < count) loss(my, job, group.order[t], size, t);
            });
            backward(my, group);
        }
        if (job.gradient) {
            phase([&](int t) {
                for (int at = t; at < PARAMETERS; at += THREADS) job.gradient[parameters + at] = my.gradient[at];
                if (!t) job.loss[cnn] = my.loss / size;
            });
            return;
        }
        const float rate = job.steps[2 * batch], root = job.steps[2 * batch + 1];
        phase([&](int t) { adam(my, job, parameters, rate, root, t); });
    }
    phase([&](int t) {
        if (!t) job.loss[cnn] = my.loss / job.per_epoch;
    });
    validate(my, job, cnn);
}

}  // namespace

#ifdef __CUDACC_RTC__
extern "C" __global__ void __launch_bounds__(THREADS, 1) zoofuse_epoch(const Job job) {
    extern __shared__ __align__(16) uint8_t shared[];
    train(*(Block*)shared, job, blockIdx.x);
}
#else
// Reference: the CPU trainer, in test_cuda_trainer.py.
extern "C" void zoofuse_epoch(const Job* job, int order_of_threads) {
    order = order_of_threads;
    const std::unique_ptr<Block> my(new Block);
    for (int64_t cnn = 0; cnn < job->cnns; cnn++) {
        std::memset((void*)my.get(), 255, sizeof(Block));  // NaN: nobody clears a GPU's memory
        train(*my, *job, cnn);
    }
}
#endif
