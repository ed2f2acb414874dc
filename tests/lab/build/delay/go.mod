module rollout.test/lab/delay

go 1.24
