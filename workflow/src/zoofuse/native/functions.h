// Functions of vectors, the same bits in every lane and with every instruction set.
//
// Reference: `test_functions` in tests/unit/test_scalar_references.py.

#pragma once

#include "simd.h"

namespace {

inline V exponential(V x) {  // within 2 units in the last place; outside +-87 as at the ends; NaN stays NaN
    x = x > 87 ? broadcast(87) : x < -87 ? broadcast(-87) : x;
    const V turns = x * 1.44269504f;  // powers of two
    const I whole = __builtin_convertvector(turns + (turns < 0 ? broadcast(-0.5f) : broadcast(0.5f)), I);
    const V n = __builtin_convertvector(whole, V);
    const V r = fused(n, broadcast(2.12194440e-4f), fused(n, broadcast(-0.693359375f), x));  // ln 2 in two parts
    V sum = broadcast(1 / 5040.0f);
    for (float term : {1 / 720.0f, 1 / 120.0f, 1 / 24.0f, 1 / 6.0f, 0.5f, 1.0f, 1.0f}) sum = fused(sum, r, broadcast(term));
    return sum * (V)((whole + 127) << 23);
}

inline V tanh(V x) {  // Lambert's continued fraction near 0, where 1 - 2 / (e^2x + 1) would cancel
    const V z = x * x;
    const V all = broadcast(945), below = fused(z, fused(z, broadcast(15), broadcast(420)), all);
    const V small = x * fused(z, 105 + z, all) / below;
    return z < 0.36f ? small : 1 - 2 / (exponential(2 * x) + 1);
}

inline V sigmoid(V x) { return 1 / (1 + exponential(-x)); }

inline V absolute(V x) { return (V)((I)x & 0x7FFFFFFF); }

// Within 1.1 units in the last place (coefficients of Norbert Juffa's minimax polynomials).
inline V error_function(V x) {
    const V t = absolute(x), s = x * x;
    V far = fused(broadcast(-1.72853470e-5f), t, broadcast(3.83197126e-4f));
    far = fused(far, s, fused(broadcast(-3.88396438e-3f), t, broadcast(2.42546219e-2f)));
    for (float term : {-1.06777877e-1f, -6.34846687e-1f, -1.28717512e-1f}) far = fused(far, t, broadcast(term));
    far = 1 - exponential(fused(far, t, -t));
    V near = broadcast(-5.96761703e-4f);
    for (float term : {4.99119423e-3f, -2.67681349e-2f, 1.12819925e-1f, -3.76125336e-1f, 1.28379166e-1f})
        near = fused(near, s, broadcast(term));
    near = fused(near, x, x);
    return t > 0.927734375f ? (V)((I)far | ((I)x & INT32_MIN)) : near;
}

}  // namespace
