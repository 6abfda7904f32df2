-- SPDX-License-Identifier: BSD-3-Clause
-- A patch panel of vhost-user apps, run by `snabb snsh`. In front of it snabb.py writes what it uses.
-- Needs Snabb 2024.08 or one with the same names in core.memory, apps.vhost.vhost_user and lib.virtio.net_device.

io.stdout:setvbuf("line")

local ffi = require("ffi")
local S = require("syscall")
local app = require("core.app")
local config = require("core.config")
local memory = require("core.memory")
local timer = require("core.timer")
local VhostUser = require("apps.vhost.vhost_user").VhostUser

-- Hugepages without a name, instead of files in a hugetlbfs outside the run, which a killed Snabb leaves
-- behind. Only NICs need physical addresses; all else is content with this tag in an address (core.memory).
local DMA_TAG = 0x500000000000ULL
local pages = 0
function memory.allocate_huge_page (size)
   local at = ffi.cast("void *", DMA_TAG + pages * size)
   local page, why = S.mmap(at, size, "read, write", "private, anonymous, hugetlb, fixed", -1, 0)
   assert(page, "no hugepage is free: " .. tostring(why))
   pages = pages + 1
   return page
end
function memory.reserve_new_page ()
   error("no hugepage is free, and the number of the machine's is not for a switch to raise")
end

-- No cache of features between runs.
function VhostUser:update_features (features)
   return features
end

-- QEMU hands over a descriptor for errors of a ring (VHOST_USER_SET_VRING_ERR), which Snabb ends on. It tells of none.
function VhostUser:set_vring_err (msg, fds, nfds)
   for i = 0, nfds - 1 do ffi.C.close(fds[i]) end
end

-- QEMU enables rings before it says where they are, and Snabb would look at them at once.
local kick, get_vring_base = VhostUser.set_vring_kick, VhostUser.get_vring_base
function VhostUser:set_vring_enable (msg)
   self.vhost_ready = msg.u64 ~= 0 and self.dev:ready() ~= nil
end
function VhostUser:set_vring_kick (msg, fds, nfds)
   kick(self, msg, fds, nfds)
   self.vhost_ready = self.dev:ready() ~= nil
end
function VhostUser:get_vring_base (msg)
   local ring = self.dev.virtq[msg.state.index]
   get_vring_base(self, msg)
   ring.virtq = nil
end

-- Without VIRTIO_F_VERSION_1, which Snabb does not offer, a driver need not acknowledge features (virtio 1.1, 3.1.1 and
-- 3.1.2), and DPDK's virtio-user does not. `features` are the ones that both ends have, and QEMU sets its own.
local c = config.new()
for i, socket in ipairs(sockets) do
   config.app(c, "port" .. i - 1, VhostUser, {socket_path = socket, is_server = false})
end
for _, way in ipairs(ways) do
   config.link(c, ("port%d.tx -> port%d.rx"):format(way[1], way[2]))
end
app.configure(c)
for i = 1, #sockets do
   app.app_table["port" .. i - 1].dev:set_features(features)
end

local function tell_when_connected ()
   for i = 1, #sockets do
      if not app.app_table["port" .. i - 1].connected then return end
   end
   if not S.stat(ready) then
      assert(io.open(ready, "w")):close()
   end
end
timer.activate(timer.new("ready", tell_when_connected, 1e7, "repeating"))

app.busywait = busywait
local fine, why = pcall(app.main)
if not fine then        -- one line, in place of a stack's trace
   io.stderr:write(tostring(why), "\n")
   os.exit(1)
end
