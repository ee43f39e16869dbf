// SPDX-License-Identifier: Apache-2.0
//
// Target: programs as an IDS sends them: sevmon_program_item(), sevmon_check_slice(), the helpers,
// sevmon_run_slice(), on demand, atomically and standing.
// The input is a budget, an input of the program's, and instructions. Properties: a COMMIT, which
// goes in slices, has the verdict of the verifier in one go, also when one before it was abandoned
// half-way; what is committed
// runs to an end within its budget, in slices, over memory with holes; nothing stays held between
// them; the answer verifies and is no longer than its session's; the program's constants stay as
// they are; what is refused cannot be run.
#include "helpers.h"
#include "support/fuzz_input.hpp"
#include "support/program_client.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kGva = 0xffffffff81000000;

class Target {
 public:
  Target() {
    host_.guest.map(kGva, Bytes(8192, 0x61));
    host_.guest.map(kGva + 0x3000, Bytes(4096, 0x62));
    host_.guest.map_frame(kGva + 0x4000, 0x999);  // of nobody
    host_.forbidden_start = 0xffff800000000000;
    host_.forbidden_end = 0xffff880000000000;
  }

  void run(FuzzInput input) {
    const std::uint64_t budget = 1 + input.number<std::uint16_t>();
    const auto given = input.take(input.number<std::uint8_t>());
    BpfProgram program;
    while (!input.empty() && program.count() < SEVMON_PROGRAM_MAX_INSNS)
      program.insns().push_back(load<sevmon_bpf_insn>(input.take(8)));
    if (program.count() == 0) return;
    const Bytes data(16, 0x63);
    const Image image{program, data, 256, Bytes(8, 0x64)};
    must(client_.begin(image) == SEVMON_STATUS_OK && client_.chunks(image) == SEVMON_STATUS_OK,
         "it is taken");
    const auto [status, verdict] = commit(image, budget);
    must((status == SEVMON_STATUS_OK) == (verdict.reason == SEVMON_VERDICT_OK), "a verdict");
    if (status != SEVMON_STATUS_OK) {
      must(client_.run(image.name()).status == SEVMON_STATUS_NO_PROGRAM, "refused: not run");
      return;
    }
    check(image, data, given, budget);
    check_atomic(image, given, budget);
    check_standing(image, given, budget);
  }

 private:
  std::pair<unsigned, sevmon_program_verdict> commit(const Image& image, std::uint64_t number) {
    auto answer = agent_.frame(client_.commit_frame(image));
    for (unsigned i = 0; answer.rc == -ERESTART && i < number % 4; ++i)
      answer = agent_.go_on(sevmon_work_token(&agent_.work()));
    if (answer.rc == -ERESTART) {
      host_.advance_seconds(SEVMON_DEMAND_ABANDONED_SECONDS);
      answer = agent_.frame(client_.commit_frame(image));
      while (answer.rc == -ERESTART) answer = agent_.go_on(sevmon_work_token(&agent_.work()));
    }
    const auto got = client_.verdict(answer);
    const auto verifier = std::make_unique<sevmon_bpf_verifier>();
    const auto* insns =
        reinterpret_cast<const sevmon_bpf_insn*>(image.bytes.data() + sizeof(sevmon_program_head));
    const auto whole =
        sevmon_bpf_verify(verifier.get(), insns, load<sevmon_program_head>(image.bytes).insns,
                          sevmon_helper_arguments);
    must(got.second.reason == whole.reason && got.second.insn == whole.insn, "the same verdict");
    return got;
  }

  void check(const Image& image, const Bytes& data, const Bytes& given, std::uint64_t budget) {
    auto answer = agent_.frame(client_.run_frame(image.name(), given, budget));
    for (std::uint64_t slices = 0; answer.rc == -ERESTART; ++slices) {
      must(slices <= budget, "ends within its budget");
      must(!host_.frames_held && !host_.targets_held, "nothing is held between slices");
      answer = agent_.go_on(sevmon_work_token(&agent_.work()));
    }
    must(!host_.frames_held && !host_.targets_held, "nothing stays held");
    const auto got = client_.result(answer);
    must(got.status == SEVMON_STATUS_OK, "it ran");
    must(got.report.state > SEVMON_RUN_RUNNING && got.report.state <= SEVMON_RUN_FAULT,
         "nothing that the verifier is to see");
    must(got.report.cost <= budget, "its cost is of its budget");
    must(got.result.size() <= 4096 - sizeof(got.report), "the result fits");
    const auto& program = agent_.state().ids[0].programs->program[0];
    must(std::ranges::equal(
             ByteView{program.image}.subspan(image.bytes.size() - 8 - data.size(), data.size()),
             data),
         "constants stay");
    must(!program.running && program.runs == 1, "the run is over");
  }

  void check_atomic(const Image& image, const Bytes& given, std::uint64_t budget) {
    const auto answer = agent_.frame(client_.run_frame(
        {.program = image.name(), .budget = budget, .flags = SEVMON_RUN_ATOMIC, .pause_us = 1000},
        given));
    must(answer.rc > 0, "one call");
    must(!host_.paused && !host_.frames_held && !host_.targets_held, "nothing stays held");
    const auto got = client_.result(answer);
    must(got.report.slices == 1 && got.report.cost <= budget, "one slice, within its budget");
  }

  /// In slices: as a standing program it has variables of its own, and its result waits.
  void check_standing(const Image& image, const Bytes& given, std::uint64_t budget) {
    const sevmon_schedule_head head{
        .run = {.program = image.name(), .budget = budget, .flags = 0, .pause_us = 0},
        .min_ms = 10,
        .max_ms = 20};
    must(client_.schedule(head, given) == SEVMON_STATUS_OK, "it is scheduled");
    const auto& programs = *agent_.state().ids[0].programs;
    for (std::uint64_t ticks = 0; programs.ring.results == 0; ++ticks) {
      must(ticks <= budget + 1, "ends within its budget");
      agent_.tick(host_);
      must(!host_.frames_held && !host_.targets_held, "nothing is held between ticks");
    }
    must(client_.unload(image) == SEVMON_STATUS_BUSY, "it is scheduled");
    must(client_.unschedule(image) == SEVMON_STATUS_OK, "no more");
    const sevmon_collect collect{.seen = 0, .zero = 0};
    const auto status = client_.status(SEVMON_ITEM_PROGRAM_COLLECT, bytes_of(collect));
    must(status == SEVMON_STATUS_OK || status == SEVMON_STATUS_REFUSED, "it leaves, if it fits");
    client_.status(SEVMON_ITEM_PROGRAM_COLLECT, bytes_of(sevmon_collect{.seen = 1, .zero = 0}));
    must(programs.ring.used == 0, "and is let go of");
    must(client_.unload(image) == SEVMON_STATUS_OK, "nothing keeps it");
  }

  FakeHost host_;
  FakeAgent agent_{host_};
  ProgramClient client_{agent_, {.connection_id = {1}, .size_class = SEVMON_CLASS_1_PAGE}};
};

}  // namespace
}  // namespace sevmon::tests

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sevmon::tests::Target{}.run({data, size});
  return 0;
}
