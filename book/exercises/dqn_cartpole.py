"""The exercises of book/dqn_cartpole.md: fill each blank, then `make exercise NAME=dqn_cartpole`."""


def target(reward, discount, next_q):
    """Reward [B], discount [B] (0 where terminated), values of the next actions [B, A] → [B]."""
    return ...


def work(steps, learning_starts, train_interval, minibatches, batch_size):
    """Settings of a run → the number of its updates, and how often each of its steps is drawn on average."""
    return ...


def value(k, gamma=0.99):
    """Steps until the fall, each with a reward of 1 → what the state is worth."""
    return ...
