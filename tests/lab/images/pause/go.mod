module rollout.test/lab/pause

go 1.24
