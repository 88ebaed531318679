"""The game in the plane against PyTorch's own modules and optimisers."""

import pytest
import torch
from torch import nn

from course_utils.gan import plane


def module(player: plane.Player) -> nn.Sequential:
    """The same network out of PyTorch's modules."""
    weights = [w.clone() for w in player.weights]
    layers = []
    for weight, bias in zip(weights[::2], weights[1::2]):
        layer = nn.Linear(weight.shape[1], len(weight)).double()
        layer.weight.data, layer.bias.data = weight, bias
        layers += [layer, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("adam", [True, False])
@pytest.mark.parametrize("saturating", [True, False])
def test_rounds_are_those_of_pytorchs_modules_and_optimisers(adam, saturating):
    rules = plane.Rules(2, 3, 1e-2, 3e-2, saturating=saturating, adam=adam)
    pair = plane.player(2, hidden=7, seed=1), plane.player(1, hidden=5, seed=2)
    g, d = (module(one) for one in pair)
    of_g, of_d = (
        torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))
        if adam
        else torch.optim.SGD(network.parameters(), lr=rate)
        for network, rate in ((g, 1e-2), (d, 3e-2))
    )
    random = torch.Generator().manual_seed(3)
    for _ in range(4):
        points = plane.ring(3 * 6, random).view(3, 6, 2)
        noise = torch.randn(5, 6, 2, generator=random, dtype=torch.float64)
        for real, z in zip(points, noise):
            of_d.zero_grad()
            loss = -d(real).sigmoid().log().mean() - (1 - d(g(z)).sigmoid()).log().mean()
            loss.backward()
            of_d.step()
        for z in noise[3:]:
            of_g.zero_grad()
            fake = d(g(z)).sigmoid()
            ((1 - fake).log().mean() if saturating else -fake.log().mean()).backward()
            of_g.step()
        before = [w.clone() for w in (*pair[0].weights, *pair[1].first)]
        old, pair = pair, plane.play(*pair, rules, points, noise)
        assert all(map(torch.equal, before, (*old[0].weights, *old[1].first)))
    for ours, network in zip(pair, (g, d)):
        for mine, theirs in zip(ours.weights, network.parameters()):
            torch.testing.assert_close(mine, theirs.detach(), atol=1e-9, rtol=1e-7)


def test_arrows_point_up_ds_slope_and_leave_their_points():
    discriminator = plane.player(1, seed=4)
    points = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = plane.pull(discriminator, points)
    step = 1e-6
    for place in range(2):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[place] = step
        ends = [plane.answer(discriminator.weights, points + way * shift) for way in (1, -1)]
        slope = (nn.functional.logsigmoid(ends[0]) - nn.functional.logsigmoid(ends[1])) / 2 / step
        torch.testing.assert_close(found[:, place], slope[:, 0], atol=1e-6, rtol=1e-5)
    assert not points.requires_grad


def test_points_lie_in_their_blobs_and_shares_count_them():
    points = plane.ring(4000, torch.Generator().manual_seed(0))
    shares = plane.blob_shares(points)
    assert shares.sum() > 0.99 and (shares - 1 / 8).abs().max() < 0.02
    assert plane.blob_shares(torch.zeros(5, 2, dtype=torch.float64)).sum() == 0


def covered(rules: plane.Rules, seed: int) -> int:
    generator, _ = plane.run(rules, 700, seed=seed)
    random = torch.Generator().manual_seed(99)
    z = torch.randn(1000, plane.NOISE, generator=random, dtype=torch.float64)
    return int((plane.blob_shares(plane.answer(generator.weights, z)) >= 0.02).sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_generator_that_outruns_d_collapses_and_the_default_does_not(seed):
    hasty = plane.Rules(generator_steps=3, generator_rate=5e-3, discriminator_rate=5e-4)
    assert covered(hasty, seed) <= 2 and covered(plane.Rules(), seed) >= 6
