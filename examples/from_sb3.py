"""What a user of Stable-Baselines3 writes, here. Run: python from_sb3.py [STEPS]"""

import sys
import time

import gymnasium

import rewirl

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 8_000


class Best(rewirl.Callback):
    """Save the policy whenever an evaluation was the best so far."""

    best = float("-inf")

    def on_evaluation(self, moment):
        if moment.evaluation.mean > self.best:
            self.best = moment.evaluation.mean
            moment.agent.save(f"runs/best-{moment.evaluation_step}")


# from stable_baselines3 import TD3; model = TD3("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [64, 64]})
model = rewirl.TD3("Pendulum-v1", seed=0, hidden_sizes=(64, 64))
# model.learn(steps, tb_log_name="td3"); and an EvalCallback
model.learn(total_timesteps=steps, eval_every=500, callback=Best(), run_dir=time.strftime("runs/td3-%Y%m%d-%H%M%S"))

environment = gymnasium.make("Pendulum-v1")
observation, _ = environment.reset(seed=0)
done = False
while not done:
    action = model.predict(observation)  # the action alone, not (action, state); there is no noise
    observation, reward, terminated, truncated, info = environment.step(action)
    done = terminated or truncated

try:
    rewirl.TD3("Pendulum-v1", policy_kwargs={"net_arch": [64, 64]})
except (TypeError, ValueError) as error:
    print(error)  # it says what the name is here
