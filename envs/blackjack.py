"""Blackjack as gymnasium plays it, many games side by side in numpy, and the policy that Sutton and Barto print for it.

gymnasium's own game takes a Python call per card. Here all games draw their cards together.
"""

import gymnasium as gym
import numpy as np
from gymnasium.envs.toy_text.blackjack import BlackjackEnv

SHAPE = (32, 11, 2)  # the player's sum, the dealer's card (1 is the ace), whether the player has a usable ace


def is_blackjack(env):
    """Whether it is gymnasium's game of Blackjack."""
    return isinstance(env.unwrapped, BlackjackEnv)


def cells(q):
    """The 200 decisions of the game: q of every state, [704, 2] → [ace (no, yes), sum 12 to 21, card 1 to 10, A].

    Below 12 a hit cannot lose, so that nothing is to be decided.
    """
    return q.reshape(*SHAPE, -1)[12:22, 1:11].transpose(2, 0, 1, 3)


def published_policy():
    """Figure 5.2 of Sutton and Barto, 2nd edition: 1 is a hit, 0 a stick; [usable ace, sum 12 to 21, card 1 to 10].

    It is the best policy; tests/envs/test_blackjack.py calculates it from the rules.
    """
    #                          A  2  3  4  5  6  7  8  9 10: the dealer's card
    sticks_from = np.array(
        [[17, 13, 13, 12, 12, 12, 17, 17, 17, 17], [19, 18, 18, 18, 18, 18, 18, 18, 19, 19]]
    )  # without a usable ace and with one
    return (np.arange(12, 22)[:, None] < sticks_from[:, None]).astype(int)


class BlackjackVectorEnv(gym.vector.VectorEnv):
    """N games of Blackjack, stepped together with array operations; gymnasium's next-step autoreset.

    Args:
        num_envs: N.
        natural, sab: as in gymnasium's `BlackjackEnv`.
        max_episode_steps: steps after which a game is truncated; None for no limit.
    """

    metadata = {"render_modes": [], "autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs=1, natural=False, sab=False, max_episode_steps=None, render_mode=None):
        self.num_envs, self.natural, self.sab, self.render_mode = num_envs, natural, sab, render_mode
        self.max_steps = max_episode_steps or np.inf
        self.single_action_space = gym.spaces.Discrete(2)
        self.single_observation_space = gym.spaces.Tuple([gym.spaces.Discrete(n) for n in SHAPE])
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.dealers = np.zeros((self.num_envs, 2), int)
        self.hard, self.has_ace = np.zeros(self.num_envs, int), np.zeros(self.num_envs, bool)
        self.steps, self.ended = np.zeros(self.num_envs, int), np.zeros(self.num_envs, bool)
        self._deal(np.ones(self.num_envs, bool))
        return self._observe(), {}

    def step(self, actions):
        fresh, hits = self.ended, actions.astype(bool) & ~self.ended  # fresh games only reset: their action is ignored
        sticks = ~fresh & ~hits
        card = self._draw(hits.sum())
        self.hard[hits] += card
        self.has_ace[hits] |= card == 1
        self.steps[~fresh] += 1
        bust = hits & (self.hard > 21)
        reward = np.where(bust, -1.0, 0.0)
        reward[sticks] = self._score(sticks)
        terminated = bust | sticks
        truncated = ~terminated & ~fresh & (self.steps >= self.max_steps)
        self._deal(fresh)
        self.ended = terminated | truncated
        return self._observe(), reward, terminated, truncated, {}

    def _draw(self, size):
        """Cards of an infinite deck: 1 is the ace, and 10 is four times as frequent as any other."""
        return np.minimum(self.np_random.integers(1, 14, size), 10)

    def _deal(self, games):
        """Two cards for the dealer and two for the player."""
        self.dealers[games], hands = self._draw((games.sum(), 2)), self._draw((games.sum(), 2))
        self.hard[games], self.has_ace[games] = hands.sum(1), (hands == 1).any(1)
        self.steps[games] = 0

    def _observe(self):
        usable = usable_ace(self.hard, self.has_ace)
        return self.hard + 10 * usable, self.dealers[:, 0].copy(), usable.astype(int)

    def _score(self, games):
        """Let the dealer of these games draw up to 17 → their rewards."""
        player = self.hard[games] + 10 * usable_ace(self.hard[games], self.has_ace[games])
        natural = (self.steps[games] == 1) & (player == 21)  # with the two cards of the start
        hard, has_ace = self.dealers[games].sum(1), (self.dealers[games] == 1).any(1)
        dealers_natural = has_ace & (hard == 11)
        dealer = hard + 10 * usable_ace(hard, has_ace)
        while (draws := dealer < 17).any():
            card = self._draw(draws.sum())
            hard[draws] += card
            has_ace[draws] |= card == 1
            dealer = hard + 10 * usable_ace(hard, has_ace)
        reward = np.where(dealer > 21, 1.0, np.sign(player - dealer))
        if self.sab:
            reward[natural & ~dealers_natural] = 1.0
        elif self.natural:
            reward[natural & (reward == 1)] = 1.5
        return reward


def usable_ace(hard, has_ace):
    """Whether an ace counts 11 in a hand that sums up to `hard` with all aces at 1."""
    return has_ace & (hard + 10 <= 21)
