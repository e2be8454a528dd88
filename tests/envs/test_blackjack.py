"""Blackjack in numpy: rule by rule, against gymnasium's own game, and against what can be calculated from the rules."""

import functools

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers the worlds
from envs.blackjack import SHAPE, BlackjackVectorEnv, cells, is_blackjack, published_policy
from envs.checked import make, make_vec

CARDS = {card: (4 if card == 10 else 1) / 13 for card in range(1, 11)}
STICK, HIT = 0, 1


def with_card(total, usable, card):
    """A hand and one card more."""
    total, usable = (total + 11, True) if card == 1 and total <= 10 else (total + card, usable)
    return (total - 10, False) if total > 21 and usable else (total, usable)


@functools.cache
def dealers_ends(total, usable):
    """dict: sum at which the dealer ends, 0 for bust → probability."""
    if total >= 17:
        return {total if total <= 21 else 0: 1.0}
    ends = {}
    for card, p in CARDS.items():
        for end, q in dealers_ends(*with_card(total, usable, card)).items():
            ends[end] = ends.get(end, 0) + p * q
    return ends


@functools.cache
def worth(action, total, usable, dealer):
    """Expected reward of an action, if the best one follows."""
    if action == STICK:
        return sum(p * np.sign(total - end) for end, p in dealers_ends(*with_card(0, False, dealer)).items())
    return sum(p * best(*with_card(total, usable, card), dealer) for card, p in CARDS.items())


def best(total, usable, dealer):
    return -1 if total > 21 else max(worth(action, total, usable, dealer) for action in (STICK, HIT))


def test_the_published_policy_is_the_best_one():
    policy = published_policy()
    assert policy.shape == (2, 10, 10)
    for (usable, row, column), action in np.ndenumerate(policy):
        state = row + 12, bool(usable), column + 1
        assert worth(action, *state) > worth(1 - action, *state), state


def test_the_published_policy_as_the_figure_has_it():
    hard, soft = published_policy()
    assert hard[12 - 12].tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 1, 1]  # 12 sticks against 4, 5 and 6
    assert hard[16 - 12].tolist() == [1, 0, 0, 0, 0, 0, 1, 1, 1, 1] and not hard[17 - 12 :].any()
    assert soft[18 - 12].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 1, 1]  # the first is the "leftmost notch"
    assert soft[: 18 - 12].all() and not soft[19 - 12 :].any()


def test_cells_are_the_decisions():
    q = np.arange(np.prod(SHAPE) * 2).reshape(-1, 2)
    assert cells(q)[1, 3, 0].tolist() == q[np.ravel_multi_index((15, 1, 1), SHAPE)].tolist()
    assert cells(q).shape == (2, 10, 10, 2)


class Deck:
    """A generator that deals given cards."""

    def __init__(self, *cards):
        self.cards = list(cards)

    def integers(self, low, high, size):
        count = int(np.prod(size))
        dealt, self.cards = self.cards[:count], self.cards[count:]
        return np.array(dealt, int).reshape(size)


def table(dealer, player, *later, **rules):
    """One game with these two cards each, and the cards that come later."""
    env = BlackjackVectorEnv(1, **rules)
    env.reset(seed=0)
    env._np_random = Deck(*dealer, *player)
    env._deal(np.array([True]))
    env._np_random = Deck(*later)
    return env


def played(env, *actions):
    """The last observation, reward, terminated."""
    for action in actions:
        obs, reward, terminated, _, _ = env.step(np.array([action]))
    return tuple(int(part[0]) for part in obs), float(reward[0]), bool(terminated[0])


@pytest.mark.parametrize(
    ("dealer", "player", "later", "actions", "wanted"),
    [
        ((10, 7), (10, 8), (), [STICK], ((18, 10, 0), 1, True)),
        ((10, 7), (10, 7), (), [STICK], ((17, 10, 0), 0, True)),
        ((10, 13), (10, 9), (), [STICK], ((19, 10, 0), -1, True)),  # the king counts 10
        ((10, 6), (10, 2), (10,), [STICK], ((12, 10, 0), 1, True)),  # the dealer draws at 16 and goes bust
        ((1, 6), (10, 8), (), [STICK], ((18, 1, 0), 1, True)),  # and stands on 17 with a usable ace
        ((1, 5), (10, 8), (10, 1), [STICK], ((18, 1, 0), 1, True)),  # 16, the ace becomes 1: 16 again, 17
        ((10, 7), (10, 6), (6,), [HIT], ((22, 10, 0), -1, True)),
        ((10, 7), (10, 6), (5,), [HIT], ((21, 10, 0), 0, False)),
        ((10, 7), (1, 6), (10,), [HIT], ((17, 10, 0), 0, False)),  # the ace is no longer usable
        ((10, 7), (1, 1), (), [STICK], ((12, 10, 1), -1, True)),
        ((10, 7), (5, 5), (1,), [HIT, STICK], ((21, 10, 1), 1, True)),  # an ace that comes later
    ],
)
def test_rules_one_by_one(dealer, player, later, actions, wanted):
    assert played(table(dealer, player, *later), *actions) == wanted


@pytest.mark.parametrize(
    ("dealer", "player", "later", "actions", "default", "sab", "natural"),
    [
        ((10, 7), (1, 10), (), [STICK], 1, 1, 1.5),  # a natural
        ((10, 1), (1, 10), (), [STICK], 0, 0, 0),  # two of them
        ((10, 6), (1, 10), (5,), [STICK], 0, 1, 0),  # the dealer has 21 with three cards
        ((10, 1), (10, 5), (6,), [HIT, STICK], 0, 0, 0),  # the player has, the dealer's natural does not win
        ((10, 7), (10, 5), (6,), [HIT, STICK], 1, 1, 1),  # 21 with three cards is no natural
    ],
)
def test_naturals_under_the_three_rules(dealer, player, later, actions, default, sab, natural):
    for rules, wanted in (({}, default), ({"sab": True}, sab), ({"natural": True}, natural)):
        assert played(table(dealer, player, *later, **rules), *actions)[1] == wanted
    both = table(dealer, player, *later, sab=True, natural=True)
    assert played(both, *actions)[1] == sab  # sab comes first


def test_next_step_autoreset_and_the_time_limit():
    env = BlackjackVectorEnv(500, max_episode_steps=2)
    env.reset(seed=3)
    _, _, terminated, truncated, _ = env.step(np.ones(500, int))
    assert terminated.any() and not truncated.any()
    obs, reward, ended, truncated, _ = env.step(np.ones(500, int))
    assert not ended[terminated].any() and not reward[terminated].any()  # these only reset
    assert (truncated | ended)[~terminated].all() and not (truncated & ended).any()
    assert (obs[0][terminated] >= 4).all() and (obs[0][terminated] <= 21).all()
    assert env.observation_space.contains(obs)


def test_seeds_repeat_and_differ():
    first, again, other = (BlackjackVectorEnv(50).reset(seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (np.array(first) != np.array(other)).any()


def outcomes(env_id, sticks_from, games, num_envs, rules):
    """Shares of the games that brought −1, 0, 1 and 1.5, and steps per game, of a policy that sticks from a sum on."""
    vector = make_vec(env_id, num_envs, "numbers", rules)
    obs, _ = vector.reset(seed=5)
    counts, steps, fresh = np.zeros(4, int), 0, np.zeros(num_envs, bool)
    while counts.sum() < games:
        player = obs // (11 * 2)
        obs, reward, terminated, truncated, _ = vector.step((player < sticks_from).astype(int))
        steps += (~fresh).sum()
        fresh = terminated | truncated
        counts += [(reward[fresh] == value).sum() for value in (-1, 0, 1, 1.5)]
    return counts / counts.sum(), steps / counts.sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sticks_from", "rules"), [(12, {}), (17, {"sab": False}), (20, {"sab": False, "natural": True})]
)
def test_the_distribution_of_outcomes_is_gymnasiums(sticks_from, rules):
    theirs, their_steps = outcomes("Blackjack-v1", sticks_from, 8000, 200, rules)
    ours, our_steps = outcomes("numpy/Blackjack-v1", sticks_from, 400_000, 4000, rules)
    error = np.sqrt(np.maximum(ours * (1 - ours), 1e-6) / 8000)
    assert (abs(ours - theirs) < 4 * error).all(), (ours, theirs)
    assert abs(our_steps - their_steps) < 0.04  # a game has about one step or two, a deviation below 1: error 0.011


def test_the_published_policy_earns_what_it_is_worth():
    """Over the deals of the start: the exact value with the naturals, which win against a dealer's 21 of more cards."""
    value = 0.0
    for a, p in CARDS.items():
        for b, q in CARDS.items():
            for dealer, r in CARDS.items():
                hand = with_card(*with_card(0, False, a), b)
                end = best(*hand, dealer)
                if {a, b} == {1, 10}:
                    end = 1 - {1: 4 / 13, 10: 1 / 13}.get(dealer, 0)  # a draw with the dealer's natural
                value += p * q * r * end
    assert value == pytest.approx(-0.0431, abs=5e-4)
    vector = make_vec("numpy/Blackjack-v1", 4000, "numbers")
    hits = np.ones(SHAPE, int)  # below 12
    hits[12:22, 1:11] = published_policy().transpose(1, 2, 0)
    obs, _ = vector.reset(seed=0)
    total, games = 0.0, 0
    for _ in range(200):
        obs, reward, terminated, _, _ = vector.step(hits.ravel()[obs])
        total, games = total + reward.sum(), games + terminated.sum()
    assert abs(total / games - value) < 4 * 0.95 / games**0.5


def test_it_is_registered_beside_gymnasiums_own_game_which_stays():
    assert gym.spec("Blackjack-v1").vector_entry_point is None
    assert gym.spec("numpy/Blackjack-v1").kwargs == gym.spec("Blackjack-v1").kwargs == {"sab": True, "natural": False}
    assert is_blackjack(make("Blackjack-v1", "numbers")) and is_blackjack(make("numpy/Blackjack-v1", "numbers"))
    assert not is_blackjack(make("CliffWalking-v1", "numbers"))
