-- POSTs the lines of a file in turn as request bodies. At the end it prints the figures as one line of JSON.
-- Usage: wrk -s wrk.lua URL -- bodies.jsonl

local requests = {}
local last = 0

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "refusals": %d, "failures": %d, "microseconds": %d, "p50": %d, "p99": %d}\n',
    summary.requests,
    errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration,
    latency:percentile(50),
    latency:percentile(99)
  ))
end
