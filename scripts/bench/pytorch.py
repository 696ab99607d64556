"""PyTorch's side of the bench, run as a process of its own: pytorch.py '<work as JSON>' eager|compile.

The same nets, layer by layer, as lib/nets builds them, with weights taken from there; channels_last and the fused
Adam, which are PyTorch's fastest on a CPU; the same question-and-answer lines as ours.ts.
"""
import json
import math
import resource
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn import functional as F

NUM_STEPS, LEARNING_RATE = 1000, 2e-4
work, variant = json.loads(sys.argv[1]), sys.argv[2]
device = torch.device("cuda" if torch.cuda.is_available() and work.get("device") != "cpu" else "cpu")
is_image = len(work["shape"]) == 3


def groups_of(channels):
    for groups in range(min(32, channels // 4), 1, -1):
        if channels % groups == 0:
            return groups
    return 1


def norm(channels):
    return nn.GroupNorm(groups_of(channels), channels, eps=1e-6)


def time_embedding(t, dim):
    half = dim // 2
    steps = torch.arange(half, device=t.device, dtype=torch.float32)
    angles = (t - 1).float()[:, None] * torch.exp(steps * (-math.log(1e4) / (half - 1)))
    return torch.cat([angles.sin(), angles.cos()], 1)


class Halve(nn.Conv2d):
    """TensorFlow's "same" padding for a stride of 2 adds at the far side alone."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, stride=2)

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Residual(nn.Module):
    def __init__(self, inputs, outputs, time_size):
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time_size, outputs)
        self.norm2, self.conv2 = norm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x, time):
        hidden = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(hidden)))


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm, self.qkv, self.out = norm(channels), nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x):
        b, c, h, w = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).chunk(3, -1)
        attended = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.out(attended).transpose(1, 2).reshape(b, c, h, w)


class Block(Residual):
    """A residual block with attention where the resolution asks for it."""

    def __init__(self, inputs, outputs, time_size, attended):
        super().__init__(inputs, outputs, time_size)
        self.attention = Attention(outputs) if attended else nn.Identity()

    def forward(self, x, time):
        return self.attention(super().forward(x, time))


class Unet(nn.Module):
    def __init__(self, channels=32, multipliers=(1, 2, 2), blocks=2, attention=(16,), imageSize=32, imageChannels=3):
        super().__init__()
        self.channels, time_size = channels, 4 * channels
        widths = [m * channels for m in multipliers]
        self.time = nn.ModuleDict({"0": nn.Linear(channels, time_size), "1": nn.Linear(time_size, time_size)})
        self.add_module("in", nn.Conv2d(imageChannels, channels, 3, padding=1))
        self.down, self.up, self.order_down, self.order_up = nn.ModuleDict(), nn.ModuleDict(), [], []
        width, resolution, skips = channels, imageSize, [channels]
        for level, outputs in enumerate(widths):
            here = nn.ModuleDict()
            for i in range(blocks):
                here[str(i)] = Block(width, outputs, time_size, resolution in attention)
                width = outputs
                skips.append(width)
                self.order_down.append((str(level), str(i)))
            if level < len(widths) - 1:
                here["halve"] = Halve(width)
                skips.append(width)
                resolution //= 2
                self.order_down.append((str(level), "halve"))
            self.down[str(level)] = here
        self.middle = nn.ModuleDict(
            {"0": Residual(width, width, time_size), "attention": Attention(width), "1": Residual(width, width, time_size)}
        )
        for level in reversed(range(len(widths))):
            here, outputs = nn.ModuleDict(), widths[level]
            for i in range(blocks + 1):
                here[str(i)] = Block(width + skips.pop(), outputs, time_size, resolution in attention)
                width = outputs
                self.order_up.append((str(level), str(i)))
            if level > 0:
                here["double_"] = nn.Conv2d(width, width, 3, padding=1)  # "double" is taken by modules themselves
                resolution *= 2
                self.order_up.append((str(level), "double_"))
            self.up[str(level)] = here
        self.out = nn.ModuleDict({"norm": norm(width), "conv": nn.Conv2d(width, imageChannels, 3, padding=1)})

    def forward(self, x, t):
        time = F.silu(self.time["1"](F.silu(self.time["0"](time_embedding(t, self.channels)))))
        h = getattr(self, "in")(x)
        kept = [h]
        for level, name in self.order_down:
            layer = self.down[level][name]
            h = layer(h) if name == "halve" else layer(h, time)
            kept.append(h)
        h = self.middle["1"](self.middle["attention"](self.middle["0"](h, time)), time)
        for level, name in self.order_up:
            layer = self.up[level][name]
            if name == "double_":
                h = layer(F.interpolate(h, scale_factor=2.0, mode="nearest"))
            else:
                h = layer(torch.cat([h, kept.pop()], 1), time)
        return self.out["conv"](F.silu(self.out["norm"](h)))


class Mlp(nn.Module):
    def __init__(self, inputDim=2, hidden=128, depth=3, timeDim=32):
        super().__init__()
        self.time_dim = timeDim
        self.hidden = nn.ModuleList(nn.Linear(inputDim + timeDim if i == 0 else hidden, hidden) for i in range(depth))
        self.out = nn.Linear(hidden, inputDim)

    def forward(self, x, t):
        h = torch.cat([x, time_embedding(t, self.time_dim)], 1)
        for layer in self.hidden:
            h = F.silu(layer(h))
        return self.out(h)


config = {key: value for key, value in work["net"].items() if key != "kind"}
net = (Unet if work["net"]["kind"] == "unet" else Mlp)(**config).to(device)
shape = [work["shape"][2], *work["shape"][:2]] if is_image else work["shape"]


def layout(x):
    return x.contiguous(memory_format=torch.channels_last) if is_image else x


if is_image:
    net = net.to(memory_format=torch.channels_last)
betas = torch.linspace(1e-4, 0.02, NUM_STEPS, dtype=torch.float64)
alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, 0)])
signal, noise = alpha_bar.sqrt().float().to(device), (1 - alpha_bar).sqrt().float().to(device)
optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, fused=True)
predict = torch.compile(net) if variant == "compile" else net
x0 = layout(torch.rand(work["batch"], *shape, device=device) * 2 - 1)


def each(table, t, x):
    return table[t].view(-1, *[1] * (x.dim() - 1))


def loss_at(x0, t, eps):
    xt = x0 * each(signal, t, x0) + eps * each(noise, t, x0)
    return F.mse_loss(predict(xt, t), eps)


def train_once():
    start = time.perf_counter()
    t = torch.randint(1, NUM_STEPS + 1, (work["batch"],), device=device)
    loss = loss_at(x0, t, torch.randn_like(x0))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    loss.item()
    return (time.perf_counter() - start) * 1e3


@torch.no_grad()
def sample_once(plan):
    start = time.perf_counter()
    x = layout(torch.randn(work["sample"]["count"], *shape, device=device))
    for step in plan:
        t = torch.full((len(x),), step["t"], device=device)
        x0_hat = (x - predict(x, t) * each(noise, t, x)) / each(signal, t, x)
        x = x0_hat * step["x0Coef"] + x * step["xtCoef"]
        if step["sigmaStd"] > 0:
            x = x + torch.randn_like(x) * step["sigmaStd"]
    x.cpu()
    return (time.perf_counter() - start) * 1e3


def load(folder):
    """Takes the weights, and returns the loss of the batch, that our side left in this folder."""
    data = numpy.fromfile(f"{folder}/tensors.bin", dtype=numpy.float32)
    tensors, at = {}, 0
    for entry in json.load(open(f"{folder}/tensors.json")):
        size = math.prod(entry["shape"])
        tensors[entry["name"]] = torch.from_numpy(data[at : at + size].reshape(entry["shape"]).copy())
        at += size
    used = 0
    with torch.no_grad():
        for name, module in net.named_modules():
            name = name.replace("double_", "double")
            if isinstance(module, nn.Linear):
                pairs = {"weight": tensors.get(f"{name}.weight"), "bias": tensors.get(f"{name}.bias")}
                pairs["weight"] = pairs["weight"].T
            elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
                pairs = {"weight": tensors[f"{name}.weight"].T[:, :, None, None], "bias": tensors[f"{name}.bias"]}
            elif isinstance(module, nn.Conv2d):
                pairs = {"weight": tensors[f"{name}.kernel"].permute(3, 2, 0, 1), "bias": tensors[f"{name}.bias"]}
            elif isinstance(module, nn.GroupNorm):
                pairs = {"weight": tensors[f"{name}.scale"], "bias": tensors[f"{name}.offset"]}
            else:
                continue
            for key, value in pairs.items():
                getattr(module, key).copy_(value)
                used += value.numel()
    expected = sum(p.numel() for p in net.parameters())
    assert used == expected, f"{used} of {expected} weights were given"
    batch = {key[6:]: value for key, value in tensors.items() if key.startswith("batch:")}
    images = {key: layout(batch[key].permute(0, 3, 1, 2)) if is_image else batch[key] for key in ("x0", "eps")}
    with torch.no_grad():
        loss = loss_at(images["x0"].to(device), batch["t"].long().to(device), images["eps"].to(device))
    return {"loss": loss.item()}


def timed(run):
    before = resource.getrusage(resource.RUSAGE_SELF)
    ms = run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"ms": ms, "cpuMs": cpu * 1e3}


def profile(steps, file):
    with torch.profiler.profile() as profiler:
        start = time.perf_counter()
        for _ in range(steps):
            train_once()
        wall = (time.perf_counter() - start) * 1e3 / steps
    with open(file, "w") as out:
        out.write(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=30))
    return {"wallMs": wall}


def about():
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    parameters = sum(p.numel() for p in net.parameters())
    return {"version": torch.__version__, "parameters": parameters, "peakBytes": peak, "compileMs": None}


def answer(question):
    ask = question["ask"]
    if ask == "train":
        return timed(lambda: [train_once() for _ in range(question["steps"])])
    if ask == "sample":
        return timed(lambda: [sample_once(question["plan"][: question.get("only")])])
    if ask == "import":
        return load(question["folder"])
    if ask == "profile":
        return profile(question["steps"], question["file"])
    if ask == "about":
        return about()
    raise ValueError(f'pytorch.py cannot answer "{ask}"')


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:  # whatever it is, the other side is told
        reply = {"error": f"{type(error).__name__}: {error}"}
    print("@" + json.dumps(reply), flush=True)
