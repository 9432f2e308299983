// The published architecture: 3 x 32 x 32, conv 5x5 to 6, ReLU, pool, conv 5x5 to 16, ReLU, pool, linear to 2.

#pragma once

namespace {

constexpr int K = 5, COLOURS = 3, C1 = 6, C2 = 16, CLASSES = 2;
constexpr int SIZE = 32, SIZE1 = 14, SIZE2 = 5;  // height and width: image, after the first pooling, after the second
constexpr int IMAGE = SIZE * SIZE * COLOURS, MAPS1 = SIZE1 * SIZE1 * C1, FEATURES = SIZE2 * SIZE2 * C2;
constexpr int ROW1 = K * COLOURS, ROW2 = K * C1;  // floats in a patch's row
constexpr int TAPS1 = K * ROW1, TAPS2 = K * ROW2;

// Where each tensor starts in the flat parameters, PyTorch's order and layout.
constexpr int W1 = 0, B1 = W1 + C1 * TAPS1, W2 = B1 + C1, B2 = W2 + C2 * TAPS2, W3 = B2 + C2;
constexpr int B3 = W3 + CLASSES * FEATURES, PARAMETERS = B3 + CLASSES;

}  // namespace
