"""The kernel CycleGAN: two sets of convolution kernels, and generators that translate each into the other.

Published system (report, II.D.2; Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent
adversarial networks"): a CNN's kernels of one layer, (out, in, 5, 5), are turned to (in, out, 5, 5) and read as a
small volume with `in` channels, whose depth is the filters; kernels of other sizes are read alike.
Matrices, (out, in), are sets of rows. Domain A is the
first concept of a fusion, B the second.

Training depends on the kernels, the settings and the seed only: orders, replay and initial weights are named random
numbers, so that a run which was stopped at any moment goes on from its state file to the same bits. Losses and
gradients come from one of two backends: `cpp` is C++ for CPUs, `pytorch` runs anywhere. They agree within rounding,
and after many steps no longer; so a training is computed by one of them from its first step to its last.
"""
