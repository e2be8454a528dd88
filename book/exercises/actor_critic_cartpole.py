"""The exercises of book/actor_critic_cartpole.md: fill each blank, then `make exercise NAME=actor_critic_cartpole`."""


def estimates(policy, returns, baseline):
    """Probabilities and returns of the actions, [A] both → row a: the estimate in the logits if a is drawn, [A, A]."""
    return ...


def discounted_returns(reward, terminated, last_value, gamma):
    """Rewards of one game [T], whether it terminated, the critic's value of its last observation → returns [T]."""
    return ...


def resting_value(policy, returns):
    """Probabilities and returns of the actions, [A] both → where the value rests if both losses train it, a number."""
    return ...


def whole_game(step, obs):
    """A function obs [] → next obs [], reward [], whether that was the end []; the first obs → sum of rewards []."""
    return ...
