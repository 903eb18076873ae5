#!/busybox sh
# The first process of the emulated machine: the files of this one, which may not be changed, below a layer in memory.
# What it says goes to the second serial port; the kernel's own words go to the first.
b=/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
exec >/dev/ttyS1 2>&1 </dev/null
for module in virtio_pci 9pnet_virtio 9p overlay; do $b modprobe "$module"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /lower || $b poweroff -f
$b mount -t tmpfs layer /layer
$b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work files /new
for folder in proc sys dev; do $b mount --move "/$folder" "/new/$folder"; done
cd /new
for folder in tmp run dev/shm; do $b mkdir -p "$folder"; $b mount -t tmpfs -o mode=1777 memory "$folder"; done
$b mkdir -p dev/pts "lib/modules/$($b uname -r)"
$b mount -t devpts pts dev/pts
$b mount -t tracefs tracefs sys/kernel/tracing
$b mount -t cgroup2 cgroup sys/fs/cgroup
# Who makes a veth in here asks the kernel for a module.
$b mount --bind "/lower$($b cat /modules)" "lib/modules/$($b uname -r)"
$b cp $b run/busybox
$b ln -s /run/busybox run/modprobe
echo /run/modprobe >proc/sys/kernel/modprobe
$b ip link set lo up
$b cp /checks run/checks
$b mount --move . /
# This process itself: the kernel looks for modprobe from its root.
exec $b chroot . /bin/sh /run/checks
