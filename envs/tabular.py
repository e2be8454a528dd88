"""The frozen lake, and what its table of transitions tells without playing: how often a policy reaches the goal."""

import numpy as np
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv


def is_lake(env):
    """Whether it is a frozen lake with a time limit; `env.unwrapped.P` is the table of its transitions."""
    return isinstance(env.unwrapped, FrozenLakeEnv) and env.spec.max_episode_steps is not None


def letters(env):
    """The lake's map as rows of letters: S start, F frozen, H hole, G goal."""
    return ["".join(cell.decode() for cell in row) for row in env.unwrapped.desc]


def success_probability(transitions, policy, max_steps):
    """Probability that a game which begins in state 0 ends with a reward within `max_steps` steps.

    Args:
        transitions: state → action → list of (probability, next state, reward, terminated), as in `env.unwrapped.P`.
        policy: probability of each action in each state, [states, actions]; with a leading axis of `max_steps` one that
            changes with the clock.
        max_steps: length at which a game is truncated.
    """
    states, actions = policy.shape[-2:]
    goes_on = np.zeros((states, actions, states))  # probability of going on in each state
    succeeds = np.zeros((states, actions))  # probability of ending with a reward
    for state in range(states):
        for action in range(actions):
            for probability, next_state, reward, terminated in transitions[state][action]:
                if terminated:
                    succeeds[state, action] += probability * (reward > 0)
                else:
                    goes_on[state, action, next_state] += probability
    value = np.zeros(states)  # with no step left
    for now in np.broadcast_to(policy, (max_steps, states, actions))[::-1]:
        value = (now * (succeeds + goes_on @ value)).sum(axis=1)  # with one step more
    return float(value[0])


def greedy_policy(q):
    """The policy that takes the best action of every row of q, [states, actions], the first among equals."""
    return np.eye(q.shape[1])[q.argmax(axis=1)]
