"""The exercises of book/cliffwalking.md: fill each blank, then `make exercise NAME=cliffwalking`."""


def sarsa_target(reward, terminated, next_row, next_a, gamma):
    """Reward of a step, whether it ended the game, the next state's row [A], the next action → SARSA's target."""
    return ...


def expected_target(reward, terminated, next_row, epsilon, gamma):
    """The same with the mean of the row [A] over the next actions of the epsilon-greedy policy."""
    return ...


def walkers_value(best, epsilon, probability, reward):
    """Best actions [S], model [S, A, S] and [S, A] → the epsilon-greedy policy's undiscounted values, [S]."""
    return ...
