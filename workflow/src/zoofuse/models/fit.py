"""A training that goes on from its state file to the same bits: CycleGANs, NetSpaces and SIRENs."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from zoofuse.core import files

SAVE_EVERY = 5.0  # seconds between two writes of the state; so much, and a step, can be lost
_STATE = "training state"  # kind of the file
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of torch.optim.Adam, by its own names

Progress = Callable[[int, Mapping[str, float]], None]  # (steps done, what the last one recorded)


class Fit:
    """The state of one training, and the loop over its steps.

    Whatever a step changes lies in `tensors`, so that a run which was stopped at any moment, by
    Ctrl-C, a signal or a power cut, goes on from its last save as if nothing had happened. Ending
    needs no care: the file is always whole, and whoever ends the process ends the training.

    Attributes:
        tensors: name -> tensor, changed in place or replaced by the steps.
        history: name -> (steps,) float32, NaN where a step recorded nothing of this name.
    """

    def __init__(
        self,
        initial: Mapping[str, np.ndarray],
        steps: int,
        *,
        state_path: str | Path,
        identity: str,
        device: str | torch.device = "cpu",
    ):
        """Read the state, where there is one of this training, or begin.

        Args:
            initial: name -> array: everything that steps change, as it is before the first one.
            steps: how many there are.
            state_path: the state's HDF5. That of a finished training makes `run` return at once;
                delete it when the result is written. A corrupt one, or another training's, is
                ignored with a printed line.
            identity: digest of all that decides the numbers, see `files.read_state`.
            device: where the tensors live.
        """
        self._steps, self._path, self._identity = steps, Path(state_path), identity
        state = files.read_state(self._path, _STATE, identity) or {"done": np.zeros((), np.int64), **initial}
        self._done = int(state.pop("done"))
        recorded = [name for name in state if name.startswith("history/")]
        self.history = {name.removeprefix("history/"): state.pop(name) for name in recorded}
        # Adam counts its steps on the CPU.
        self.tensors = {
            name: torch.from_numpy(values).to(device if values.ndim else "cpu") for name, values in state.items()
        }

    def adam(self, name: str, **options) -> torch.optim.Adam:
        """PyTorch's Adam for the tensor of this name, with its moments among `tensors`.

        Args:
            name: of a tensor of parameters; whoever steps fills its gradient.
            options: as torch.optim.Adam takes them.
        """
        parameters = self.tensors[name]
        optimiser = torch.optim.Adam([parameters], **options)
        fresh = (torch.zeros(()), torch.zeros_like(parameters), torch.zeros_like(parameters))
        optimiser.state[parameters] = {
            key: self.tensors.setdefault(f"adam/{name}/{key}", values.detach())
            for key, values in zip(_MOMENTS, fresh, strict=True)
        }
        return optimiser

    def run(
        self,
        step: Callable[[int], Mapping[str, float]],
        progress: Progress | None = None,
    ) -> None:
        """Take the steps that are left, and save the state every few seconds and at the end.

        Args:
            step: takes the step of this index; returns what `history` records of it, by name.
            progress: called after each step with the number of steps done and what was recorded.
        """
        saved = time.monotonic()
        for index in range(self._done, self._steps):
            recorded = step(index)
            for name, value in recorded.items():
                self.history.setdefault(name, np.full(self._steps, np.nan, np.float32))[index] = value
            if index + 1 == self._steps or time.monotonic() - saved >= SAVE_EVERY:
                self._save(index + 1)
                saved = time.monotonic()
            if progress:
                progress(index + 1, recorded)

    def _save(self, done: int) -> None:
        arrays = {name: values.detach().cpu().numpy() for name, values in self.tensors.items()}
        arrays |= {f"history/{name}": values for name, values in self.history.items()}
        files.write(self._path, _STATE, arrays | {"done": np.array(done)}, identity=self._identity)
