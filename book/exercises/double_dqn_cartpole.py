"""The exercises of book/double_dqn_cartpole.md: fill each blank, then `make exercise NAME=double_dqn_cartpole`."""


def target(reward, discount, next_q, chooser_q):
    """Reward and discount [B], the target network's next_q and the network's chooser_q, [B, A] both → [B]."""
    return ...


def excess(judge, chooser):
    """Errors of both networks where every action is worth 0, [B, A] both → the mean of the value that is believed."""
    return ...


def relative(error, independent, correlation):
    """Two independent errors of deviation 1, [B, A] both → one of deviation 1 with this correlation to the first."""
    return ...
