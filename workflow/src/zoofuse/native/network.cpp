// Trains one CNN of any chain of layers with everything in the core's cache. Called by network_trainer.py, one CNN per
// thread; compiled once per network and instruction set, with all shapes as constants (layers.h).
//
// Set by the compiler's command line: LANES, BLOCK and the network's tables.
//
// "Reference" names the plain computation that a test compares a part with; all are in tests/unit.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>

#if LANES < 8  // two of the processor's vectors in one
#undef LANES
#undef BLOCK
#define LANES 8
#define BLOCK 3
#endif

#include "fields.h"
#include "layers.h"

#define JOB(FIELD)                                                                             \
    FIELD(const uint8_t*, images)   /* (n, rows, columns, channels) */                         \
    FIELD(const int32_t*, labels)                                                              \
    FIELD(const float*, targets)    /* (n, classes) or null */                                 \
    FIELD(const int32_t*, order)    /* (epochs, per_epoch) */                                  \
    FIELD(const uint8_t*, flip)     /* (epochs, per_epoch) or null */                          \
    FIELD(const float*, gain)       /* (epochs, per_epoch, channels) or null */                \
    FIELD(const double*, rates)     /* (steps,) */                                             \
    FIELD(const uint8_t*, validation_images)                                                   \
    FIELD(const int32_t*, validation_labels)                                                   \
    FIELD(const uint8_t*, test_images)                                                         \
    FIELD(const int32_t*, test_labels)                                                         \
    FIELD(const uint8_t*, keep)     /* (epochs,): whether a checkpoint is kept */              \
    FIELD(int64_t, validation)      /* images */                                               \
    FIELD(int64_t, test)            /* images */                                               \
    FIELD(int64_t, epochs)                                                                     \
    FIELD(int64_t, per_epoch)                                                                  \
    FIELD(int64_t, batch_size)                                                                 \
    FIELD(int64_t, optimiser)       /* 0 adam, 1 adamw, 2 sgd */                               \
    FIELD(int64_t, first_two)       /* predict by the first two logits alone */                \
    FIELD(double, momentum)                                                                    \
    FIELD(double, weight_decay)                                                                \
    FIELD(uint64_t, dropout_key)                                                               \
    FIELD(int64_t, dropout_threshold) /* 0: no dropout */                                      \
    FIELD(double, dropout_scale)                                                               \
    FIELD(float*, weights)          /* (parameters,) in and out */                             \
    FIELD(float*, checkpoints)      /* (k, parameters) */                                      \
    FIELD(double*, loss)            /* (epochs,) */                                            \
    FIELD(int64_t*, validation_counts) /* (epochs, classes, classes): label, prediction */     \
    FIELD(int64_t*, test_counts)    /* the same */                                             \
    FIELD(int64_t*, passes)         /* images trained on so far */                             \
    FIELD(int64_t*, stop)           /* read after each step */

SHARED_STRUCT(Job, JOB)  // network_trainer.py has the same

namespace {

using Image = Map<0>;
constexpr int COLOURS = Image::CHANNELS, LINE = Image::SIZE * COLOURS, IMAGE = Image::COUNT;

// ---- images ----

struct Source {  // one lane's image, and how to augment it
    const uint8_t* bytes;
    bool flip;
    const float* gain;  // (channels,) or null
};

// Fill the lanes with images, line by line: x / 255, times the channel's gain and clipped, (x - 0.5) / 0.5, as PyTorch
// computes it. Lanes without an image get the first one, so that they hold nothing infinite that no image leads to.
void develop(Workspace& my, const Source* sources) {
    constexpr int WHOLE = (LINE + LANES - 1) / LANES * LANES;
    float developed[LANES][WHOLE] = {}, gains[LANES][LINE];
    V lanes[WHOLE];
    for (int i = 0; i < my.images; i++)
        for (int j = 0; j < LINE; j++) gains[i][j] = sources[i].gain ? sources[i].gain[j % COLOURS] : 1;
    uint8_t mirrored[LINE];
    for (int row = 0; row < Image::SIZE; row++) {
        for (int i = 0; i < LANES; i++) {
            if (i >= my.images) {
                std::memcpy(developed[i], developed[0], sizeof developed[0]);
                continue;
            }
            const uint8_t* line = sources[i].bytes + row * LINE;
            if (sources[i].flip) {
                for (int j = 0; j < LINE; j++) mirrored[j] = line[LINE - COLOURS - j / COLOURS * COLOURS + j % COLOURS];
                line = mirrored;
            }
            for (int j = 0; j < LINE; j++) {
                const float x = line[j] / 255.0f * gains[i][j];
                developed[i][j] = ((x > 1 ? 1 : x) - 0.5f) / 0.5f;
            }
        }
        into_lanes(developed[0], WHOLE, WHOLE, lanes);
        std::memcpy(my.values + Image::at(row, 0), lanes, LINE * sizeof(V));
    }
}

struct Batch {
    const uint8_t* images;  // all of them
    const int32_t* labels;
    const float* targets;  // (images, classes) of all of them, or null; labels do not matter then
    const int32_t* order;  // rows of this batch
    const uint8_t* flip;   // or null
    const float* gain;     // (size, channels), or null
    int64_t size;
};

// The next group of a batch's images, from `start` on, into the lanes.
void load(Workspace& my, const Batch& batch, int64_t start) {
    my.first = start;
    my.images = batch.size - start < LANES ? batch.size - start : LANES;
    Source sources[LANES];
    for (int i = 0; i < my.images; i++) {
        const int64_t j = start + i;
        sources[i] = {batch.images + (batch.order ? (int64_t)batch.order[j] : j) * IMAGE, batch.flip && batch.flip[j],
                      batch.gain ? batch.gain + j * COLOURS : nullptr};
    }
    for (int i = 0; i < LANES; i++) my.present[i] = i < my.images ? -1 : 0;
    develop(my, sources);
}

// ---- the loss ----

// Each output as a prediction of its own for a target in [0, 1], NaN where unknown: the sum of their logistic losses,
// and its gradients by the logits of one lane.
double logistic(const V* logits, const float* targets, int lane, int64_t size, V* gradient) {
    double loss = 0;
    for (int k = 0; k < CLASSES; k++) {
        gradient[k][lane] = 0;
        if (targets[k] != targets[k]) continue;
        const double z = logits[k][lane];
        loss += (z > 0 ? z : 0) - z * targets[k] + std::log1p(std::exp(-std::fabs(z)));
        gradient[k][lane] = (float)(1 / (1 + std::exp(-z)) - targets[k]) / size;
    }
    return loss;
}

// The cross-entropies of all images' classes, and their gradients by the logits. The label's own gradient is minus the
// sum of the others', which keeps its digits where the prediction is nearly sure.
double cross_entropy(const Workspace& my, const V* logits, I label, int64_t size, V* gradient) {
    V highest = logits[0], of_label = {};
    for (int k = 1; k < CLASSES; k++) highest = logits[k] > highest ? logits[k] : highest;
    V others = {}, own = {};
    for (int k = 0; k < CLASSES; k++) {
        const V power = exponential(logits[k] - highest);
        gradient[k] = power;
        of_label = label == k ? logits[k] : of_label;
        others += label == k ? V{} : power;
        own = label == k ? power : own;
    }
    const V sum = others + own;
    for (int k = 0; k < CLASSES; k++) {
        const V share = (label == k ? -others : gradient[k]) / sum / (float)size;
        gradient[k] = my.present ? share : V{};
    }
    double loss = 0;
    for (int i = 0; i < my.images; i++)
        loss += of_label[i] == highest[i] ? std::log1p((double)others[i])
                                          : std::log((double)sum[i]) + ((double)highest[i] - of_label[i]);
    return loss;
}

// The loss summed over the batch; its mean's gradient goes to my.gradient.
double loss_and_gradient(Workspace& my, const Batch& batch) {
    std::memset(my.sums, 0, sizeof my.sums);
    std::memset(my.sparse.sums, 0, sizeof my.sparse.sums);
    const V* logits = my.value<MAPS - 1>();
    V* gradient = my.gradient_of<MAPS - 1>();
    double loss = 0;
    for (int64_t start = 0; start < batch.size; start += LANES) {
        load(my, batch, start);
        forward_layer<0>(my);
        if (batch.targets) {
            for (int k = 0; k < CLASSES; k++) gradient[k] = V{};
            for (int i = 0; i < my.images; i++)
                loss += logistic(logits, batch.targets + CLASSES * (int64_t)batch.order[start + i], i, batch.size,
                                 gradient);
        } else {
            I label = {};
            for (int i = 0; i < my.images; i++) label[i] = batch.labels[batch.order[start + i]];
            loss += cross_entropy(my, logits, label, batch.size, gradient);
        }
        backward_layer<DEPTH - 1>(my);
    }
    collect(my);
    return loss;
}

// ---- optimisers ----
// torch.optim's, in their orders of operations: Adam and AdamW with betas 0.9, 0.999 and epsilon 1e-8.
// Reference: PyTorch's, in `test_optimisers` of test_cpp_network.py.

void step(Workspace& my, const Job& job, double rate, int64_t step) {
    const float decay = job.weight_decay;
    if (job.optimiser == 1) {
        const float kept = 1 - rate * job.weight_decay;
        for (int i = 0; i < PARAMETERS; i++) my.weights[i] *= kept;
    } else if (decay) {
        for (int i = 0; i < PARAMETERS; i++) my.gradient[i] = fused(my.weights[i], decay, my.gradient[i]);
    }
    if (job.optimiser == 2) {
        const float momentum = job.momentum, size = rate;
        for (int i = 0; i < PARAMETERS; i++) {
            // The first step's is the gradient itself: the mean is 0 before.
            if (momentum) my.gradient[i] = my.mean[i] = my.mean[i] * momentum + my.gradient[i];
            my.weights[i] = fused(-size, my.gradient[i], my.weights[i]);
        }
    } else {
        const float size = rate / (1 - std::pow(0.9, step)), root = std::sqrt(1 - std::pow(0.999, step));
        for (int i = 0; i < PARAMETERS; i++) {
            const float g = my.gradient[i];
            my.mean[i] = fused(g - my.mean[i], 0.1f, my.mean[i]);
            my.square[i] = fused(my.square[i], 0.999f, g * g * 0.001f);
            my.weights[i] = fused(-size, my.mean[i] / (std::sqrt(my.square[i]) / root + 1e-8f), my.weights[i]);
        }
    }
    pack(my);
}

// Calls work(image, lane) for each of these images, whose logits are then those of the last map.
template <class Work> void each_image(Workspace& my, const uint8_t* images, int64_t n, Work work) {
    my.dropout.active = false;
    const Batch batch = {images, nullptr, nullptr, nullptr, nullptr, nullptr, n};
    for (int64_t start = 0; start < n; start += LANES) {
        load(my, batch, start);
        forward_layer<0>(my);
        for (int i = 0; i < my.images; i++) work(start + i, i);
    }
}

// Adds to counts[label][prediction]: the first of the highest logits, and a NaN is the highest. first_two: of the first
// two logits alone, and the second unless the first is higher.
void evaluate(Workspace& my, const uint8_t* images, const int32_t* labels, int64_t n, bool first_two, int64_t* counts) {
    const V* logits = my.value<MAPS - 1>();
    each_image(my, images, n, [&](int64_t image, int lane) {
        int best = first_two && !(logits[0][lane] > logits[1][lane]);
        for (int k = 1; k < CLASSES && !first_two; k++) {
            const float value = logits[k][lane], before = logits[best][lane];
            if (value > before || (value != value && before == before)) best = k;
        }
        counts[labels[image] * CLASSES + best]++;
    });
}

Workspace* workspace(const Job& job) {
    Workspace* my = new Workspace();  // zeros
    std::memcpy(my->weights, job.weights, sizeof my->weights);
    my->dropout = {job.dropout_threshold > 0, job.dropout_key, 0, (uint32_t)job.dropout_threshold,
                   (float)job.dropout_scale};
    pack(*my);
    return my;
}

Batch batch_of(const Job& job, int64_t epoch, int64_t start) {
    const int64_t at = epoch * job.per_epoch + start, left = job.per_epoch - start;
    return {job.images, job.labels, job.targets, job.order + at, job.flip ? job.flip + at : nullptr,
            job.gain ? job.gain + at * COLOURS : nullptr, left < job.batch_size ? left : job.batch_size};
}

}  // namespace

extern "C" {

// Reference: PyTorch's loop, in `test_training_is_pytorchs` of test_cpp_network.py.
void zoofuse_train(const Job* job) {
    std::unique_ptr<Workspace> my(workspace(*job));
    int64_t steps = 0;
    float* checkpoint = job->checkpoints;
    for (int64_t epoch = 0; epoch < job->epochs; epoch++) {
        double loss = 0;
        for (int64_t start = 0; start < job->per_epoch; start += job->batch_size) {
            if (__atomic_load_n(job->stop, __ATOMIC_RELAXED)) return;
            const Batch batch = batch_of(*job, epoch, start);
            my->dropout.active = job->dropout_threshold > 0;
            my->dropout.step = steps;
            loss += loss_and_gradient(*my, batch);
            step(*my, *job, job->rates[steps], steps + 1);
            steps++;
            __atomic_store_n(job->passes, epoch * job->per_epoch + start + batch.size, __ATOMIC_RELAXED);
        }
        job->loss[epoch] = loss / job->per_epoch;
        constexpr int CELLS = CLASSES * CLASSES;
        evaluate(*my, job->validation_images, job->validation_labels, job->validation, job->first_two,
                 job->validation_counts + CELLS * epoch);
        evaluate(*my, job->test_images, job->test_labels, job->test, job->first_two, job->test_counts + CELLS * epoch);
        if (job->keep[epoch]) {
            std::memcpy(checkpoint, my->weights, sizeof my->weights);
            checkpoint += PARAMETERS;
        }
    }
    std::memcpy(job->weights, my->weights, sizeof my->weights);
}

// The mean loss of the first batch, and its gradient by the parameters, in PyTorch's order.
double zoofuse_gradient(const Job* job, float* gradient) {
    std::unique_ptr<Workspace> my(workspace(*job));
    const Batch batch = batch_of(*job, 0, 0);
    const double loss = loss_and_gradient(*my, batch);
    std::memcpy(gradient, my->gradient, sizeof my->gradient);
    return loss / batch.size;
}

// The logits (validation, classes) of the validation images.
void zoofuse_logits(const Job* job, float* logits) {
    std::unique_ptr<Workspace> my(workspace(*job));
    const V* last = my->value<MAPS - 1>();
    each_image(*my, job->validation_images, job->validation, [&](int64_t image, int lane) {
        for (int k = 0; k < CLASSES; k++) logits[image * CLASSES + k] = last[k][lane];
    });
}
}
