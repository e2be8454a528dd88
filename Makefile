# demo: train a little and look; test: every test; quick: those to run between two edits; lint; exercise: of the book;
# results: every recipe over 30, 10 or 5 seeds; bench: how fast; figures: every other published figure (hours).
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test quick lint exercise results bench figures clean

.venv/ready: requirements.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

# PPO solves CartPole; a Deep Q-Network begins to learn Pong, and plays beside the trained one of models/ in a film.
demo: DEMO := runs/demo/$(shell date +%Y%m%d-%H%M%S)
demo: .venv/ready
	$(BIN)/python recipes/ppo_cartpole.py --logdir=$(DEMO)/cartpole
	$(BIN)/python recipes/play.py --run=$(DEMO)/cartpole --episodes=1 --video
	$(BIN)/python recipes/dqn_atari.py --env_id=ALE/Pong-v5 --episodes=16 --learning_starts=2000 --buffer_size=20000 \
		--epsilon_decay_steps=10000 --eval_episodes=2 --logdir=$(DEMO)/pong
	$(BIN)/python recipes/play.py --run=$(DEMO)/pong --beside=models/dqn_atari_pong.keras --episodes=1 --video
	@echo "to look at      $(DEMO)/cartpole/play.gif: a pole after some seconds of training"
	@echo "to look at      $(DEMO)/pong/play.mp4: the beginner, and beside it the trained network of models/"
	@echo "to type next    . .venv/bin/activate"

test: .venv/ready
	$(BIN)/python -m pytest

# Without what trains to a goal, kills processes, or plays a whole game of Pong.
quick: .venv/ready
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Your answers to the exercises of a page of the book: make exercise NAME=ppo_cartpole
exercise: .venv/ready
	@test -f "book/exercises/test_$(NAME).py" || { echo "NAME is one of:" \
		$(patsubst book/exercises/test_%.py,%,$(wildcard book/exercises/test_*.py)) >&2; exit 2; }
	$(BIN)/python -m pytest -n 0 book/exercises/test_$(NAME).py

# 30 seeds of recipes that train in seconds, 10 or 5 of others, into book/results/; what is there already is kept.
results: .venv/ready
	$(BIN)/python benchmarks/results.py

# Stable-Baselines3 and PyTorch have an environment of their own; TORCH names the build to install.
TORCH ?= torch
.venv-sb3/ready:
	$(PYTHON) -m venv .venv-sb3
	.venv-sb3/bin/python -m pip install --quiet $(TORCH) stable-baselines3==2.9.2 ale-py==0.12.1 opencv-python-headless
	touch $@

# How fast: training against Stable-Baselines3 and eager Keras, time to a score, ceilings, growth, memory. Less than ten
# minutes for each part, and what is there is not measured again: make bench PART="score growth"
bench: .venv/ready .venv-sb3/ready
	$(BIN)/python benchmarks/bench.py $(PART)

# Every other published figure; this takes hours.
figures: .venv/ready
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/sum_tree.py
	$(BIN)/python benchmarks/keras_versions.py
	$(BIN)/python benchmarks/pong.py
	$(BIN)/python benchmarks/robots.py                          # needs .[mujoco]
	$(BIN)/python benchmarks/compiled_speed.py
	$(BIN)/python benchmarks/convolution_speed.py
	$(BIN)/python benchmarks/bars.py
	$(BIN)/python benchmarks/variants.py dqn_cartpole
	$(BIN)/python benchmarks/variants.py a2c_cartpole
	$(BIN)/python benchmarks/variants.py ppo_cartpole
	$(BIN)/python benchmarks/variants.py compiled_actor_critic_cartpole
	$(BIN)/python benchmarks/variants.py reinforce_dropout_cartpole
	$(BIN)/python benchmarks/variants.py actor_critic_two_networks
	$(BIN)/python benchmarks/pqn_ablation.py
	$(BIN)/python benchmarks/dqn_memory_growth.py
	$(BIN)/python benchmarks/dqn_errata.py
	$(BIN)/python benchmarks/rainbow_speed.py
	$(BIN)/python benchmarks/rainbow_ablation.py probe
	$(BIN)/python benchmarks/frozenlake_errata.py exact
	$(BIN)/python benchmarks/frozenlake_errata.py table
	$(BIN)/python benchmarks/frozenlake_errata.py network
	$(BIN)/python benchmarks/cliffwalking.py online
	$(BIN)/python benchmarks/cliffwalking.py variants
	$(BIN)/python benchmarks/blind_cliffwalk.py
	$(BIN)/python benchmarks/alike_actions.py
	$(BIN)/python benchmarks/overestimation.py noise
	$(BIN)/python benchmarks/overestimation.py cartpole
	$(BIN)/python benchmarks/overestimation_td3.py noise
	$(BIN)/python benchmarks/overestimation_td3.py pendulum
	$(BIN)/python benchmarks/return_distribution.py
	$(BIN)/python benchmarks/films.py
	$(BIN)/python benchmarks/neural_evolution_errata.py
	$(BIN)/python benchmarks/reinforce_errata.py compare
	$(BIN)/python benchmarks/reinforce_errata.py speed
	$(BIN)/python benchmarks/actor_critic_speed.py
	$(BIN)/python benchmarks/actor_critic_errata.py
	$(BIN)/python benchmarks/gridworld_errata.py

clean:
	rm -rf .venv .venv-sb3
