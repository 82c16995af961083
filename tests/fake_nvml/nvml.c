/* A stand-in for libnvidia-ml.so.1, so that the unmodified nvidia-ml-py is tested where there is no NVIDIA driver.
 *
 * It plays the script that the variable FAKE_NVML names, a line for each fact:
 *
 *   epoch S                     time zero as CLOCK_MONOTONIC seconds; without it, the first nvmlInit
 *   update S                    the energy counter changes this often (0.02)
 *   device UUID D:B:V ID ARCH   the next GPU: PCI domain, bus and device, PCI device id, all hexadecimal; architecture
 *   power I T:W T:W ...         watts of GPU I, linear between the points and constant beyond
 *   reasons I T:BITS ...        its clock event reasons from each time on
 *   lost I T                    it falls off the bus at T
 *   mig I                       it is split
 *   process I PID BYTES         a compute process on it
 *   mps I PID BYTES             a client of MPS on it
 *   graphics I PID BYTES        a process that draws on it
 *   name I TEXT                 its name, of any bytes
 *   held I BYTES                memory that processes hold before any of these (0)
 *   error SYMBOL CODE [I]       that function (or `field_186`) answers CODE, on every GPU or on one
 *
 * Without FAKE_NVML it answers as a machine without the library does. All numbers besides are plain constants.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, NOT_INITIALISED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_LIBRARY = 12,
       LOST = 15, MOST = 32, MOST_DEVICES = 8, COMPUTE = 0, MPS = 1, GRAPHICS = 2, KINDS = 3 };

typedef struct { int count; double at[MOST], value[MOST]; } Trace;
typedef struct { unsigned pid; unsigned long long bytes; } Process;
typedef struct {
    char uuid[96];
    unsigned domain, bus, slot, pci_id, architecture;
    Trace power_w, reasons;
    double lost_at_s;
    int calls, most_calls; /* calls that it answers before it is lost; 0: any number */
    int mig, process_counts[KINDS];
    Process processes[KINDS][MOST];
    char name[96];
    unsigned long long held_bytes;
} Device;
typedef struct { char symbol[64]; int code, device; } Failure;

static struct {
    int started, device_count, failure_count;
    double epoch_s, update_s;
    Device devices[MOST_DEVICES];
    Failure failures[MOST];
} fake;

static double monotonic_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static double now_s(void) { return monotonic_s() - fake.epoch_s; }

static void read_trace(Trace *trace, char *text)
{
    for (char *word = strtok(text, " \n"); word && trace->count < MOST; word = strtok(NULL, " \n")) {
        char *colon = strchr(word, ':');
        if (!colon) continue;
        trace->at[trace->count] = atof(word);
        trace->value[trace->count++] = strncmp(colon + 1, "0x", 2) ? atof(colon + 1) : strtol(colon + 1, NULL, 16);
    }
}

static int read_script(const char *path)
{
    FILE *script = fopen(path, "r");
    if (!script) return NO_LIBRARY;
    double epoch_s = fake.started ? fake.epoch_s : monotonic_s();
    memset(&fake, 0, sizeof fake);
    fake.epoch_s = epoch_s;
    fake.update_s = 0.02;
    char line[4096];
    while (fgets(line, sizeof line, script)) {
        int index = 0, used = 0;
        Device *next = &fake.devices[fake.device_count];
        Failure *failure = &fake.failures[fake.failure_count];
        Process process;
        double seconds;
        char word[96];
        if (sscanf(line, "epoch %lf", &seconds) == 1) fake.epoch_s = seconds;
        else if (sscanf(line, "update %lf", &seconds) == 1) fake.update_s = seconds;
        else if (sscanf(line, "device %95s %x:%x:%x %x %u", next->uuid, &next->domain, &next->bus, &next->slot,
                        &next->pci_id, &next->architecture) == 6) {
            next->lost_at_s = 1e300;
            strcpy(next->name, "Test GPU");
            fake.device_count++;
        }
        else if (sscanf(line, "power %d %n", &index, &used) == 1) read_trace(&fake.devices[index].power_w, line + used);
        else if (sscanf(line, "reasons %d %n", &index, &used) == 1) read_trace(&fake.devices[index].reasons, line + used);
        else if (sscanf(line, "lost %d %lf", &index, &seconds) == 2) fake.devices[index].lost_at_s = seconds;
        else if (sscanf(line, "lost_after_calls %d %d", &index, &used) == 2) fake.devices[index].most_calls = used;
        else if (sscanf(line, "mig %d", &index) == 1) fake.devices[index].mig = 1;
        else if (sscanf(line, "name %d %95[^\n]", &index, word) == 2) strcpy(fake.devices[index].name, word);
        else if (sscanf(line, "held %d %llu", &index, &process.bytes) == 2) fake.devices[index].held_bytes = process.bytes;
        else if (sscanf(line, "%15s %d %u %llu", word, &index, &process.pid, &process.bytes) == 4) {
            int kind = !strcmp(word, "process") ? COMPUTE : !strcmp(word, "mps") ? MPS : GRAPHICS;
            Device *device = &fake.devices[index];
            device->processes[kind][device->process_counts[kind]++] = process;
        }
        else if (sscanf(line, "error %63s %d %d", failure->symbol, &failure->code, &failure->device) >= 2) {
            if (sscanf(line, "error %*s %*d %d", &failure->device) != 1) failure->device = -1;
            fake.failure_count++;
        }
    }
    fclose(script);
    fake.started = 1;
    return OK;
}

static int failure_of(const char *symbol, int device)
{
    for (int i = 0; i < fake.failure_count; i++)
        if (!strcmp(fake.failures[i].symbol, symbol) && (fake.failures[i].device < 0 || fake.failures[i].device == device))
            return fake.failures[i].code;
    return OK;
}

/* What every function of a device asks first. */
static int answer(const char *symbol, Device *device)
{
    if (!fake.started) return NOT_INITIALISED;
    if (device && (now_s() >= device->lost_at_s || (device->most_calls && ++device->calls > device->most_calls))) return LOST;
    return failure_of(symbol, device ? (int)(device - fake.devices) : -2);
}
#define ANSWER(device) do { int code = answer(__func__, device); if (code) return code; } while (0)

static double power_w(Device *device, double at_s)
{
    Trace *trace = &device->power_w;
    if (trace->count == 0) return 0;
    if (at_s <= trace->at[0]) return trace->value[0];
    for (int i = 1; i < trace->count; i++)
        if (at_s < trace->at[i]) {
            double share = (at_s - trace->at[i - 1]) / (trace->at[i] - trace->at[i - 1]);
            return trace->value[i - 1] + share * (trace->value[i] - trace->value[i - 1]);
        }
    return trace->value[trace->count - 1];
}

/* The integral of the power from zero: exact, since a trapezoid fits between two points of the trace. */
static double energy_j(Device *device, double until_s)
{
    double total = 0, from_s = 0;
    for (int i = 0; i <= device->power_w.count; i++) {
        double to_s = i < device->power_w.count && device->power_w.at[i] < until_s ? device->power_w.at[i] : until_s;
        if (to_s <= from_s) continue;
        total += (power_w(device, from_s) + power_w(device, to_s)) / 2 * (to_s - from_s);
        from_s = to_s;
    }
    return total;
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    const char *path = getenv("FAKE_NVML");
    if (!path) return NO_LIBRARY;
    int code = read_script(path);
    return code ? code : failure_of(__func__, -2);
}

int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code)
{
    static char text[32];
    snprintf(text, sizeof text, "error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) { ANSWER(NULL); snprintf(text, length, "0.0-fake"); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { ANSWER(NULL); *version = 13000; return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { ANSWER(NULL); *count = fake.device_count; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device)
{
    ANSWER(NULL);
    if (index >= (unsigned)fake.device_count) return INVALID;
    *device = &fake.devices[index];
    return answer(__func__, *device);
}

int nvmlDeviceGetName(Device *device, char *text, unsigned length) { ANSWER(device); snprintf(text, length, "%s", device->name); return OK; }
int nvmlDeviceGetUUID(Device *device, char *text, unsigned length) { ANSWER(device); snprintf(text, length, "%s", device->uuid); return OK; }
int nvmlDeviceGetArchitecture(Device *device, unsigned *value) { ANSWER(device); *value = device->architecture; return OK; }

typedef struct { char legacy[16]; unsigned domain, bus, device, pci_id, subsystem; char bus_id[32]; } Pci;
int nvmlDeviceGetPciInfo_v3(Device *device, Pci *pci)
{
    ANSWER(device);
    memset(pci, 0, sizeof *pci);
    pci->domain = device->domain, pci->bus = device->bus, pci->device = device->slot, pci->pci_id = device->pci_id;
    snprintf(pci->legacy, sizeof pci->legacy, "%04X:%02X:%02X.0", pci->domain & 0xffff, pci->bus & 0xff, pci->device & 0xff);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
    return OK;
}

typedef struct { unsigned long long total, free, used; } Memory;
int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory)
{
    ANSWER(device);
    *memory = (Memory){ 80ULL << 30, 75ULL << 30, 5ULL << 30 };
    return OK;
}

typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
int nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *memory)
{
    ANSWER(device);
    unsigned long long total = 80ULL << 30, reserved = 600ULL << 20, used = device->held_bytes;
    *memory = (Memory2){ memory->version, total, reserved, total - reserved - used, used };
    return OK;
}

typedef struct { unsigned gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) { ANSWER(device); *rates = (Utilization){ 87, 42 }; return OK; }

int nvmlDeviceGetPowerUsage(Device *device, unsigned *milliwatts)
{
    ANSWER(device);
    double now = now_s(), since = now > 1 ? now - 1 : 0;
    *milliwatts = now > since ? (energy_j(device, now) - energy_j(device, since)) / (now - since) * 1e3 : 0;
    return OK;
}

int nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned *milliwatts) { ANSWER(device); *milliwatts = 700000; return OK; }

int nvmlDeviceGetTotalEnergyConsumption(Device *device, unsigned long long *millijoules)
{
    ANSWER(device);
    double updated_s = (long)(now_s() / fake.update_s) * fake.update_s;
    *millijoules = 123456789ULL + (unsigned long long)(energy_j(device, updated_s) * 1e3);
    return OK;
}

int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *celsius) { ANSWER(device); (void)sensor; *celsius = 61; return OK; }
int nvmlDeviceGetClockInfo(Device *device, int clock, unsigned *mhz) { ANSWER(device); *mhz = clock == 2 ? 2619 : 1755; return OK; }
int nvmlDeviceGetMaxClockInfo(Device *device, int clock, unsigned *mhz) { ANSWER(device); *mhz = clock == 2 ? 2619 : 1980; return OK; }
int nvmlDeviceGetPersistenceMode(Device *device, unsigned *mode) { ANSWER(device); *mode = 1; return OK; }
int nvmlDeviceGetTotalEccErrors(Device *device, int kind, int counter, unsigned long long *count) { ANSWER(device); *count = kind == 1 && counter == 0 ? 2 : 0; return OK; }
int nvmlDeviceGetPcieThroughput(Device *device, int way, unsigned *kilobytes) { ANSWER(device); *kilobytes = way == 0 ? 1000 : 2000; return OK; }
int nvmlDeviceGetMigMode(Device *device, unsigned *now, unsigned *later) { ANSWER(device); *now = *later = device->mig; return OK; }

int nvmlDeviceGetCurrentClocksEventReasons(Device *device, unsigned long long *reasons)
{
    ANSWER(device);
    *reasons = 0;
    for (int i = 0; i < device->reasons.count; i++)
        if (now_s() >= device->reasons.at[i]) *reasons = (unsigned long long)device->reasons.value[i];
    return OK;
}

typedef struct { unsigned pid; unsigned long long bytes; unsigned instance, compute; } ProcessInfo;
static int list(Device *device, int kind, unsigned *count, ProcessInfo *infos)
{
    unsigned room = *count;
    *count = device->process_counts[kind];
    if (room < *count) return TOO_SMALL;
    for (unsigned i = 0; i < *count && infos; i++)
        infos[i] = (ProcessInfo){ device->processes[kind][i].pid, device->processes[kind][i].bytes, ~0u, ~0u };
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v2(Device *device, unsigned *count, ProcessInfo *infos) { ANSWER(device); return list(device, COMPUTE, count, infos); }
int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, ProcessInfo *infos) { ANSWER(device); return list(device, COMPUTE, count, infos); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device *device, unsigned *count, ProcessInfo *infos) { ANSWER(device); return list(device, MPS, count, infos); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *device, unsigned *count, ProcessInfo *infos) { ANSWER(device); return list(device, GRAPHICS, count, infos); }

typedef struct { unsigned id, scope; long long at, latency; int type, code; union { double d; unsigned u; unsigned long long ull; } value; } Field;
int nvmlDeviceGetFieldValues(Device *device, int count, Field *fields)
{
    ANSWER(device);
    for (int i = 0; i < count; i++) {
        char symbol[32];
        snprintf(symbol, sizeof symbol, "field_%u", fields[i].id);
        fields[i].code = fields[i].id == 186 ? failure_of(symbol, (int)(device - fake.devices)) : NOT_SUPPORTED;
        fields[i].type = 1;
        fields[i].value.ull = 0;
        fields[i].value.u = (unsigned)(power_w(device, now_s()) * 1e3);
    }
    return OK;
}
