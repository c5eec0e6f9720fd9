"""The criteria of the trial: each asks one question of one map, and answers with numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attribution.detectors import GradientMagnitude
from ..attribution.engine import frozen, upscaling, view
from ..attribution.lam import PathAttribution
from ..attribution.paths import GaussianBlur
from ..attribution.references import References, frames
from ..attribution.single import Score
from ..attribution.trace import trace
from ..metrics import faithfulness as f
from ..types import Attribution, NotApplicable, Window

Row = tuple[str, float, float]  # criterion, place on a curve (NaN: a single number), value
BLUR = GaussianBlur(sigma=3.0, kernel_size=19, speed="sigma", arithmetic="double")
DETECTOR = GradientMagnitude(channels="rgb", root="safe")  # what every map is asked about, the paper's


@dataclass(frozen=True)
class Scene:
    """One image, one window, one method and its map.

    index: of the image, for what is drawn at random. shared: what methods on this network have in common.
    """

    net: nn.Module
    lr: Tensor
    window: Window
    method: Any
    found: Attribution
    index: int
    settings: Any
    references: References
    shared: dict[Any, np.ndarray]

    def again(self, lr: Tensor | None = None, net: nn.Module | None = None, method: Any = None) -> Tensor:
        """The map under other conditions."""
        return (method or self.method)(net or self.net, self.lr if lr is None else lr, self.window).map

    def random(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, self.index, purpose))

    def fills(self) -> dict[str, Tensor]:
        """What deleted pixels are replaced by: (3, h, w) each. LAM's path blurs too, and swaps not."""
        other = frames(self.references, self.lr, 1, self.settings.seed + 1000 + self.index)[0]
        return {"blur": BLUR.start(self.lr).to(self.lr.dtype), "swap": other}

    def answers(self, detector: Any, images: Sequence[Tensor]) -> Tensor:
        """What the detector says of each image (3, h, w)."""
        with frozen(self.net), torch.no_grad():
            seen = view(self.net, self.lr, self.window, detector, upscaling(self.net, self.lr))
            score = Score(self.net, seen, detector, self.lr, None)
            return torch.cat([score(score.cut(torch.stack(list(part)))) for part in _parts(images, score.per_pass)])


def _parts(images: Sequence[Tensor], size: int) -> Iterator[Sequence[Tensor]]:
    return (images[i : i + size] for i in range(0, len(images), size))


class _Patch:
    """Not a score but the reconstruction of the window itself."""

    margin = 0
    whole = False

    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        patch = sr[..., window.y : window.y + window.size, window.x : window.x + window.size]
        return patch, torch.zeros(len(patch))


def completeness(scene: Scene) -> Iterator[Row]:
    """|gap| / |D(F(I)) − D(F(I'))| of methods with a baseline."""
    found = scene.found
    if found.gap is None or found.baseline_score is None:
        raise NotApplicable("This method has no baseline, so its map has no sum that it should have.")
    yield "completeness", np.nan, abs(found.gap) / max(abs(found.score - found.baseline_score), 1e-12)


def saturation(scene: Scene) -> Iterator[Row]:
    """Along the method's path: how far the distribution of |gradient| is from that of |change of D| (0: the same)."""
    if not isinstance(scene.method, PathAttribution):
        raise NotApplicable("This method follows no path.")
    n = scene.settings.path_steps
    along = trace(scene.net, scene.lr, scene.window, scene.method.path, DETECTOR, n)
    yield "saturation", np.nan, f.distribution_distance(along.gradient, np.abs(np.diff(along.score)))


def deletion(scene: Scene) -> Iterator[Row]:
    """The window's change when the strongest pixels are replaced (deletion), and how much of it they undo when only
    they are kept (insertion), as a part of its change when all are replaced; means over fractions in geometric steps.
    """
    strongest = f.order(f.strength(scene.found.map), scene.settings.seed)
    shape = scene.lr.shape[-2:]
    for fill, other in scene.fills().items():
        images = [scene.lr, other]
        for fraction in scene.settings.fractions:
            chosen = np.zeros(strongest.size, bool)
            chosen[strongest[: max(round(fraction * strongest.size), 1)]] = True
            mask = torch.from_numpy(chosen.reshape(shape)).to(scene.lr.device)
            images += [torch.where(mask, other, scene.lr), torch.where(mask, scene.lr, other)]
        patches = scene.answers(_Patch(), images).double()
        change = (patches - patches[0]).square().mean((1, 2, 3)).sqrt().cpu().numpy()
        curves = {"deletion": change[2::2] / change[1], "insertion": 1 - change[3::2] / change[1]}
        for kind, curve in curves.items():
            for x, y in zip(scene.settings.fractions, curve, strict=True):
                yield f"{kind} {fill}", x, float(y)
            yield f"{kind} {fill}", np.nan, float(curve.mean())


def sensitivity(scene: Scene) -> Iterator[Row]:
    """Sensitivity-n and infidelity: does the map's sum over a set of blocks foretell the score when they are replaced?

    Sets are random halves of the 5×5 blocks of 4×4 LR pixels around the window; the same for every method.
    """
    scale = upscaling(scene.net, scene.lr)
    centre = [(side + scene.window.size // 2) // scale for side in (scene.window.y, scene.window.x)]
    near = [int(np.clip(c - 10, 0, max(n - 20, 0))) for c, n in zip(centre, scene.lr.shape[-2:], strict=True)]
    random = scene.random(1)
    masks = []
    for _ in range(scene.settings.n_subsets):
        blocks = (random.random((5, 5)) < 0.5).repeat(4, 0).repeat(4, 1)
        mask = np.zeros(tuple(scene.lr.shape[-2:]), bool)
        place = mask[near[0] : near[0] + 20, near[1] : near[1] + 20]
        place[:] = blocks[: place.shape[0], : place.shape[1]]
        masks.append(mask)
    total = scene.found.map.double().sum(0).cpu().numpy()
    claimed = np.array([total[mask].sum() for mask in masks])
    for fill, other in scene.fills().items():
        key = "sensitivity", scene.index, fill
        if key not in scene.shared:
            images = [torch.where(torch.from_numpy(m).to(other.device), other, scene.lr) for m in masks]
            scene.shared[key] = scene.answers(DETECTOR, [scene.lr, *images]).double().cpu().numpy()
        scores = scene.shared[key]
        yield f"sensitivity {fill}", np.nan, f.sensitivity(claimed, scores[0] - scores[1:])
        yield f"infidelity {fill}", np.nan, f.infidelity(claimed, scores[0] - scores[1:])


def brightness(scene: Scene) -> Iterator[Row]:
    """How far the map turns when the image is made brighter by a constant, which changes no structure."""
    yield "brightness", np.nan, f.cosine_distance(scene.found.map, scene.again(scene.lr + scene.settings.brighter))


def robustness(scene: Scene) -> Iterator[Row]:
    """How far the map turns under noise of half an 8-bit level, which nobody sees."""
    noise = scene.random(2).uniform(-0.5 / 255, 0.5 / 255, tuple(scene.lr.shape))
    noisy = scene.lr + torch.from_numpy(noise).to(scene.lr)
    yield "robustness", np.nan, f.cosine_distance(scene.found.map, scene.again(noisy))


def repeatability(scene: Scene) -> Iterator[Row]:
    """How far the map turns with another seed."""
    if not hasattr(scene.method, "seed"):
        raise NotApplicable("This method draws nothing at random: it repeats exactly.")
    other = replace(scene.method, seed=scene.method.seed + 1)
    yield "repeatability", np.nan, f.cosine_distance(scene.found.map, scene.again(method=other))


def randomisation(scene: Scene) -> Iterator[Row]:
    """Rank correlation with the map of a network whose weights are shuffled from the output down (Adebayo et al. 2018).

    x: the part of the layers that is shuffled. The number is that for all of them: a map that stays is no map of the
    network.
    """
    for part in scene.settings.shuffled:
        value = f.rank_correlation(scene.found.map, scene.again(net=shuffled(scene.net, part, scene.settings.seed)))
        yield "randomisation", part, value
        if part == 1:
            yield "randomisation", np.nan, value


def shuffled(net: nn.Module, part: float, seed: int) -> nn.Module:
    """A copy whose last layers' weights are permuted within each tensor, so that their distribution stays."""
    other = copy.deepcopy(net)
    layers = [m for m in other.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers[len(layers) - round(part * len(layers)) :]:
            for p in layer.parameters():
                p.copy_(p.flatten()[torch.randperm(p.numel(), generator=generator).to(p.device)].view_as(p))
    return other


CRITERIA: dict[str, Callable[[Scene], Iterator[Row]]] = {
    c.__name__: c
    for c in (completeness, saturation, deletion, sensitivity, brightness, robustness, repeatability, randomisation)
}
FILLED = tuple(f"{kind} {fill}" for kind in ("deletion", "insertion") for fill in ("blur", "swap"))
ANSWERS = {  # the numbers that each question ends in
    "cost": ("seconds", "evaluations"),
    **{name: (name,) for name in CRITERIA},
    "deletion": FILLED,
    "sensitivity": tuple(f"{kind} {fill}" for kind in ("sensitivity", "infidelity") for fill in ("blur", "swap")),
    **{f"planted {name}": (f"planted {name}",) for name in ("box", "periodic", "saturated")},
}
