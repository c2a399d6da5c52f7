-- One request for each of a thousand connections, of the size that a signed post has, round and round.
local requests, next = {}, 0

function init(args)
  local headers = {
    ["Content-Type"] = "application/octet-stream",
    ["X-Amz-Date"] = "20261122T100000Z",
    ["X-Amz-Security-Token"] = args[1],
    ["Authorization"] = "AWS4-HMAC-SHA256 Credential=" .. string.rep("x", 60) ..
      ", SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token, Signature=" .. string.rep("0", 64),
  }
  for n = 1, 1000 do
    requests[n] = wrk.format("POST", string.format("/prod/@connections/wrk-%011d%%3D", n), headers, args[2])
  end
end

function request()
  next = next % #requests + 1
  return requests[next]
end

function done(summary, latency)
  io.stderr:write(string.format(
    '{"posts":%d,"failed":%d,"wall_seconds":%f,"p50_ms":%f,"p99_ms":%f}\n',
    summary.requests, summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
