"""Worlds with a table of transitions, and what it tells without playing: how often a policy reaches the goal."""

import gymnasium as gym
import numpy as np
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

MOVES = {  # worlds with a map → (dy, dx) of each action
    FrozenLakeEnv: ((0, -1), (1, 0), (0, 1), (-1, 0)),  # left, down, right, up
    CliffWalkingEnv: ((-1, 0), (0, 1), (1, 0), (0, -1)),  # up, right, down, left
}


def is_lake(env):
    """Whether it is a frozen lake with a time limit; `env.unwrapped.P` is the table of its transitions."""
    return isinstance(env.unwrapped, FrozenLakeEnv) and env.spec.max_episode_steps is not None


def moves(env):
    """(dy, dx) of each action in a world with a map: the frozen lake, the cliff; None elsewhere."""
    return next((moves for world, moves in MOVES.items() if isinstance(env.unwrapped, world)), None)


def letters(env):
    """The map as rows of letters: S start, F frozen or free, H hole, C cliff, G goal."""
    world = env.unwrapped
    if isinstance(world, FrozenLakeEnv):
        return ["".join(cell.decode() for cell in row) for row in world.desc]
    cells = np.full(world.shape, "F")
    cells[-1, 0], cells[-1, 1:-1], cells[-1, -1] = "S", "C", "G"
    return ["".join(row) for row in cells]


def greedy_path(transitions, state, q):
    """The states through which the greedy policy of q, [states, actions], leads, by the likeliest outcome of each step.

    Args:
        transitions: state → action → list of (probability, next state, reward, terminated), as in `env.unwrapped.P`.
        state: where it begins.
        q: action values; of equal ones the first counts.

    Returns:
        list of states; it ends where the game does or where a state comes again.
    """
    path, terminated = [state], False
    while not terminated and path[-1] not in path[:-1]:
        _, state, _, terminated = max(transitions[path[-1]][q[path[-1]].argmax()], key=lambda outcome: outcome[0])
        path.append(int(state))
    return path


def transition_arrays(env):
    """The model of a world whose `env.unwrapped.P` holds its transitions, as arrays.

    Returns:
        probability [S, A, S], that the game goes on in the next state: 0 where it terminates; reward [S, A], expected.

    Raises:
        gymnasium.error.Error: the world has no such table, or one that is no model of its states and actions.
    """
    states, actions = int(env.observation_space.n), int(env.action_space.n)
    transitions = getattr(env.unwrapped, "P", None)
    if transitions is None:
        raise gym.error.Error(f"{env.spec.id} has no table of its transitions, env.unwrapped.P: its model is not known")
    probability, reward, total = np.zeros((states, actions, states)), *np.zeros((2, states, actions))
    try:
        for s in range(states):
            for a in range(actions):
                for p, next_s, r, terminated in transitions[s][a]:
                    if not (0 <= next_s < states and 0 <= p <= 1):
                        raise ValueError(f"probability {p} of state {next_s}")
                    reward[s, a] += p * r
                    probability[s, a, next_s] += p * (not terminated)
                    total[s, a] += p
    except (LookupError, TypeError, ValueError) as error:
        raise gym.error.Error(f"env.unwrapped.P of {env.spec.id} cannot be read: {error!r}") from None
    if not (np.allclose(total, 1) and np.isfinite(reward).all()):
        raise gym.error.Error(
            f"env.unwrapped.P of {env.spec.id} is no model: probabilities sum up to 1, rewards are finite"
        )
    return probability, reward


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
