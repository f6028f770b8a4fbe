-- For wrk: asks for the paths of the file that BENCH_PATHS names, in turn, or only for the URL given;
-- reports as `name=value` lines.

local file = os.getenv("BENCH_PATHS") or ""
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("number", threads)
end

function init()
    local token = os.getenv("BENCH_TOKEN") or ""
    if token ~= "" then
        wrk.headers["Authorization"] = "Bearer " .. token
    end
    if file == "" then
        return
    end
    local requests = {}
    for path in io.lines(file) do
        requests[#requests + 1] = wrk.format("GET", "/" .. path)
    end
    -- Threads start apart, so that they do not follow each other through the files.
    local at = number * 7919
    request = function()
        at = at + 1
        return requests[at % #requests + 1]
    end
end

function done(summary, latency)
    local errors = summary.errors
    print("requests=" .. summary.requests)
    print("seconds=" .. summary.duration / 1e6)
    print("p50_ms=" .. latency:percentile(50) / 1e3)
    print("p99_ms=" .. latency:percentile(99) / 1e3)
    print("errors=" .. errors.connect + errors.read + errors.write + errors.status + errors.timeout)
end
