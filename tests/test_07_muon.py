"""Muon: its steps are orthogonal, its momentum is what it says, and it refuses vectors."""

import copy

import pytest
import torch

from zerotohero.training.muon import Muon, orthogonalise


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48), (3, 24, 8)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    G = random(*shape)
    exact = lambda M: (lambda U, S, Vt: U @ Vt)(*torch.linalg.svd(M, full_matrices=False))  # noqa: E731
    for dtype, slack in ((torch.float32, 0.0), (torch.bfloat16, 0.03)):
        O = orthogonalise(G, dtype=dtype)
        values = torch.linalg.svdvals(O)
        assert O.shape == G.shape and O.dtype == G.dtype
        assert 0.65 - slack < values.min() and values.max() < 1.25 + slack
        overlap = (O * exact(G)).sum((-2, -1)) / (
            O.norm(dim=(-2, -1)) * exact(G).norm(dim=(-2, -1))
        )
        assert (overlap > 0.97).all()


def test_a_dominant_direction_no_longer_dominates():
    G = torch.outer(random(20), random(30, seed=1)) * 100 + random(20, 30, seed=2)
    before, after = torch.linalg.svdvals(G), torch.linalg.svdvals(orthogonalise(G))
    assert before[0] / before[9] > 100
    assert after[0] / after[9] < 3


def test_the_scale_of_the_gradient_does_not_matter():
    G = random(8, 12)
    small, large = (orthogonalise(G * scale, dtype=torch.float32) for scale in (1e-3, 1e3))
    torch.testing.assert_close(small, large, atol=1e-3, rtol=1e-3)
    assert not orthogonalise(torch.zeros(4, 4)).any(), "no gradient, no step"


def test_a_step_is_the_momentum_looked_ahead_and_orthogonalised():
    p = torch.nn.Parameter(random(24, 6))
    optimizer = Muon([p], lr=0.1, momentum=0.9, weight_decay=0.5)
    expected, buffer = p.detach().clone(), torch.zeros(24, 6)
    for seed in range(3):
        p.grad = random(24, 6, seed=10 + seed)
        buffer = 0.9 * buffer + 0.1 * p.grad
        ahead = 0.1 * p.grad + 0.9 * buffer
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 2.0 * orthogonalise(ahead)  # √(24/6)
        optimizer.step()
    torch.testing.assert_close(p.detach(), expected)


def test_matrices_of_one_shape_do_not_mix():
    together = [torch.nn.Parameter(random(8, 8, seed=s)) for s in range(3)]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in together]
    one, many = Muon(together), [Muon([p]) for p in alone]
    for p, q in zip(together, alone, strict=True):
        p.grad = random(8, 8, seed=int(1e3 * p[0, 0].abs()))
        q.grad = p.grad.clone()
    together[1].grad = None
    alone[1].grad = None
    one.step()
    for optimizer in many:
        optimizer.step()
    for p, q in zip(together, alone, strict=True):
        torch.testing.assert_close(p, q)


def test_on_a_cpu_nothing_is_rounded_to_bfloat16():
    """Which a CPU may have to emulate: an update of lecture 07's model took half as long again."""
    G = random(24, 24)
    assert torch.equal(orthogonalise(G), orthogonalise(G, dtype=torch.float32))


def test_its_state_is_kept_and_restored():
    p = torch.nn.Parameter(random(8, 8))
    q = torch.nn.Parameter(random(8, 8))
    one = Muon([p])
    p.grad = random(8, 8, seed=3)
    one.step()
    two = Muon([q])
    two.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file would
    with torch.no_grad():
        q.copy_(p)
    q.grad = p.grad.clone()
    one.step()
    two.step()
    assert torch.equal(p, q)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\): give embeddings, vectors"):
        Muon([torch.nn.Parameter(torch.zeros(3))])
