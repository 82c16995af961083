"""How many workers a cluster has room for, and where."""

from types import SimpleNamespace

from suite.run.launchers.cluster import CPU, CUDA, lacking, places_in


def node(name, cpus, gpus=0, *, alive=True, host="here"):
    resources = {"CPU": float(cpus), "GPU": float(gpus)} if gpus else {"CPU": float(cpus)}
    return {"NodeID": name, "Alive": alive, "NodeManagerHostname": host, "Resources": resources}


def job(device=CPU, threads=1, *, is_course=True):
    plan = SimpleNamespace(device=device, threads=threads)
    return SimpleNamespace(
        plan=plan,
        stays=device == CUDA,
        is_course=is_course,
        is_projection=False,
        case=SimpleNamespace(id=f"on {device}"),
    )


def where(places):
    return [(place.node, place.device, place.cpus) for place in places]


def test_nodes_take_turns_and_a_dead_one_has_no_room():
    nodes = [node("a", 4), node("b", 2), node("c", 8, alive=False)]
    found = places_in(nodes, [job(threads=2), job()], shares_nodes=False)
    assert where(found) == [("a", CPU, 2), ("b", CPU, 2), ("a", CPU, 2)]


def test_a_case_whose_time_counts_has_a_nodes_cpu_alone():
    timed = [job(is_course=False)]
    assert where(places_in([node("a", 4), node("b", 4)], timed, shares_nodes=False)) == [("a", CPU, 1), ("b", CPU, 1)]
    assert len(places_in([node("a", 4)], timed, shares_nodes=True)) == 4


def test_each_gpu_has_a_worker_and_what_is_left_goes_to_cpus():
    found = places_in([node("a", 6, gpus=2)], [job(CUDA, threads=2), job()], shares_nodes=False)
    assert where(found) == [("a", CUDA, 2), ("a", CUDA, 2), ("a", CPU, 1), ("a", CPU, 1)]
    assert [place.takes(job(CUDA)) for place in found] == [True, True, False, False]


def test_a_kind_of_gpu_is_found_by_rays_name_of_it():
    nodes = [node("a", 4, gpus=1), node("b", 4, gpus=2)]
    nodes[1]["Resources"]["accelerator_type:H100"] = 1.0
    found = places_in(nodes, [job(CUDA)], shares_nodes=False, gpu="h100")
    assert where(found) == [("b", CUDA, 1)] * 2
    assert len(places_in(nodes, [job(CUDA)], shares_nodes=False)) == 3
    assert places_in(nodes, [job(CUDA)], shares_nodes=False, gpu="a100") == []
    assert lacking([], [job(CUDA)], "a100") == "a CPU and a GPU a100 on one node, for on cuda"


def test_what_no_node_has_is_named():
    jobs = [job(), job(CUDA, threads=3)]
    found = places_in([node("a", 2)], jobs, shares_nodes=False)
    assert lacking(found, jobs) == "3 CPUs and a GPU on one node, for on cuda"
    assert lacking([], [job()]) == "a CPU on one node, for on cpu"
    assert lacking(found, jobs[:1]) is None
