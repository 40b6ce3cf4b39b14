// Rule 3 of docs/reference/manifest.md: the fields of every object in a manifest, with their types and
// defaults.
#pragma once

#include <sstream>

#include "json.hpp"

namespace bst::detail {

// As docs/reference/manifest.schema.json has them. A key is a field, with its default where it may be left
// out; a value is one of several types, [one] a list of them, [one, 1] a list that is not empty, [one, other]
// one of each, {"": one} a table.
inline const Json& schema() {
  static const Json kSchema = Json::parse(R"json({
"manifest": {"schema_version": "text", "settings": "settings", "signatures": ["signature"], "formats": ["format"],
  "model": "model", "items": "vocabulary", "context": {"": "vocabulary"}, "events = {}": {"": "vocabulary"},
  "candidate_features = {}": {"": "vocabulary"}, "weights": "text",
  "output_layer": "output_layer|null", "shortlist": "shortlist|null", "tuning": "tuning|null", "tolerance": "number",
  "parity": ["parity"], "quality = null": "quality|null", "click_quality = null": "click_quality|null",
  "history = null": "computed|null", "item_features = []": ["text"], "run_sha256": "text", "versions": {"": "text"},
  "files": ["file"]},
"settings": {"formats = [\"onnx\", \"torchscript\", \"pt2\"]": ["text", 1],
  "signatures = [\"all_scores\", \"top_k\", \"score_candidates\", \"encode_user\"]": ["text", 1],
  "ids = \"raw\"": "'raw'|'index'", "top_k = {}": "top_k", "opset = 21": "integer", "shortlist = true": "flag",
  "tune = false": "flag", "cpu = \"avx2\"": "'avx2'|'native'",
  "single_file = false": "flag", "golden = \"small\"": "text"},
"top_k": {"limit = 10": "integer>=1", "k_is_input = false": "flag", "exclude_history = false": "flag"},
"signature": {"name": "text", "ids": "'raw'|'index'", "inputs": ["tensor"], "outputs": ["tensor"],
  "max_k = null": "integer>=1|null"},
"tensor": {"name": "text", "dtype": "'int64'|'float32'|'string'", "shape": ["integer|text"]},
"format": {"name": "text", "ids": "'raw'|'index'", "entries": {"": "entry"}, "golden": "text",
  "equal_scores": "'lower index first'|'any order'", "needs": "needs"},
"entry": {"path": "text", "function = null": "text|null"},
"needs": {"versions": {"": "text"}, "made_with": {"": "text"}, "at_least = {}": {"": "text"},
  "machine = null": "text|null", "cpu_flags = []": ["text"], "remarks = []": ["text"]},
"model": {"task = \"next_item\"": "'next_item'|'click'", "dim = 128": "integer>=1", "num_heads = 4": "integer>=1", "num_blocks = 2": "integer>=1", "ff_width = 256": "integer>=1",
  "max_length = 50": "integer>=1", "head_widths = []": ["integer>=1"], "context_dim = 10": "integer>=1",
  "activation = \"relu\"": "'relu'|'leaky_relu'|'gelu'", "norm = \"post\"": "'post'|'none'",
  "norm_epsilon = 1e-05": "number>0", "residual = true": "flag", "attention_biases = false": "flag",
  "places = \"newest\"": "'newest'|'oldest'|'none'", "place_vectors = \"learned\"": "'sinusoidal'|'learned'",
  "event_times = \"none\"": "'none'|'to_next'|'to_request'", "mask = \"causal\"": "'causal'|'full'",
  "feature_dim = null": "integer>=1|null", "place_dim = null": "integer>=1|null",
  "pooling = \"last\"": "'last'|'mean'|'sum'|'target'", "padding = \"ignored\"": "'ignored'|'counted'", "tied_output = true": "flag",
  "dropout = 0.3": "number>=0<1", "id_dropout = 0.02": "number>=0<1", "init_method = \"xavier\"": "'xavier'|'kaiming'", "num_items": "integer>=1",
  "context = []": ["feature"], "event_features = []": ["event_feature"], "numbers = []": ["request_number"],
  "item_features = []": ["item_feature"], "item_numbers = []": ["item_number"],
  "candidate_features = []": ["candidate_feature"], "candidate_vectors = \"shared\"": "'shared'|'own'",
  "unknown_items = \"absent\"": "'absent'|'row'", "longer_histories = \"newest\"": "'newest'|'oldest'",
  "head_activations = [\"leaky_relu\"]": ["'relu'|'leaky_relu'|'gelu'|'sigmoid'|'tanh'|'softmax'|'prelu'|'dice'|'row_dice'"],
  "sequences = []": ["sequence"]},
"sequence": {"name": "text", "dim": "integer>=1", "ff_width": "integer>=1", "max_length": "integer>=1",
  "places": "'newest'|'oldest'|'none'", "longer_histories": "'newest'|'oldest'", "candidate_vectors": "'shared'|'own'"},
"candidate_feature": {"name": "text", "num_categories": "integer>=1"},
"event_feature": {"name": "text", "num_categories": "integer>=1"},
"request_number": {"name": "text", "mean": "number", "deviation": "number>0", "bound = 10.0": "number>0"},
"item_number": {"name": "text", "mean": "number", "deviation": "number>0"},
"item_feature": {"name": "text", "num_categories": "integer>=1", "num_values = 1": "integer>=1"},
"feature": {"name": "text", "num_categories": "integer>=1", "dim": "integer>=1"},
"vocabulary": {"dtype": "'int64'|'string'", "count": "integer", "padding": "integer|text",
  "named = false": "flag"},
"output_layer": {"weights": "place", "biases": "place", "first_row": "integer"},
"place": {"path": "text", "offset": "integer", "shape": ["integer"]},
"shortlist": {"few_rows": "integer", "few": "scan", "many": "scan|null"},
"scan": {"coordinates": "integer", "first": "integer"},
"tuning": {"cpu": "text", "cores": "integer", "options": "options", "rows": ["tried"], "rates = null": "rates|null"},
"options": {"threads = null": "integer>=1|null", "spinning = true": "flag", "arena = true": "flag",
  "prepacking = true": "flag"},
"tried": {"options": "options", "batch_size": "integer", "p50_us": "number", "rounds": "integer"},
"rates": {"cache_bytes = 24e6": "number", "cached_bytes = 6e4": "number", "streamed_bytes = 22e3": "number",
  "streamed_table_bytes = 25e3": "number", "small_bytes = 18e3": "number", "float_products = 35e3": "number",
  "integer_products = 14e4": "number", "gathered_bytes = 8500.0": "number", "gathered_bytes_many = 5e3": "number",
  "pick = 0.0011": "number", "pick_many = 0.0018": "number", "call_overhead = 20.0": "number",
  "scan_overhead = 15.0": "number", "exact_overhead = 5.0": "number", "wider_overhead = 40.0": "number",
  "wider_pick = 0.0019": "number"},
"parity": {"format": "text", "signature": "text", "cases": "integer", "rows": "integer", "max_error": "number",
  "error_to_float64": "number", "eager_error_to_float64": "number", "swaps": "integer", "alone": "number",
  "more_padding = null": "number|null", "permuted = null": "number|null"},
"quality": {"model": {"": "number"}, "popularity": {"": "number"}, "markov": {"": "number"}, "unseen": "number",
  "filter_seen": "flag", "rule": "text", "top_k = null": "own_top_k|null"},
"click_quality": {"model": "clicks", "popularity": "clicks", "markov": "clicks", "base_rate_log_loss": "number",
  "unseen": "number", "negatives": "text", "unknown": "integer", "rule": "text"},
"clicks": {"auc": "number", "grouped_auc": "number", "log_loss = null": "number|null",
  "calibration": [["number", "number", "integer"]], "num_users": "integer", "num_candidates": "integer"},
"computed": {"once": "flag", "reason": "text"},
"own_top_k": {"k": "integer", "users": "integer", "hr": "number", "ndcg": "number"},
"file": {"path": "text", "bytes": "integer>=0", "sha256": "sha256"}
})json");
  return kSchema;
}

// Whether a value that is no object is of a type that has no fields.
inline bool is_plain(const Json& value, const std::string& type) {
  if (type.front() == '\'') return value == type.substr(1, type.size() - 2);
  if (type == "null") return value.is_null();
  if (type == "text") return value.is_string();
  if (type == "flag") return value.is_boolean();
  if (type == "number") return value.is_number();
  if (type == "number>0") return value.is_number() && value > 0;
  if (type == "number>=0<1") return value.is_number() && value >= 0 && value < 1;
  if (type == "integer") return is_integer(value);
  if (type == "integer>=0") return is_integer(value) && value >= 0;
  if (type == "integer>=1") return is_integer(value) && value >= 1;
  const auto text = value.is_string() ? value.get<std::string>() : "";
  return type == "sha256" && text.size() == 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

inline void complete(Json& value, const Json& type, const std::string& place);

// Give an object the fields that it may leave out; unknown ones are ignored.
inline void complete_object(Json& value, const Json& fields, const std::string& place) {
  for (const auto& [key, type] : fields.items()) {
    const auto equals = key.find(" = ");
    const auto name = key.substr(0, equals);
    if (!value.contains(name)) {
      if (equals == std::string::npos) Field(value, place).at(name);  // throws
      value[name] = Json::parse(key.substr(equals + 3));
    }
    complete(value[name], type, place.empty() ? name : place + "." + name);
  }
}

// Throws FieldError if a value is not of the type.
inline void complete(Json& value, const Json& type, const std::string& place) {
  if (type.is_array() && type.size() > 1 && type[1].is_string()) {
    if (Field(value, place).array().size() != type.size())
      Field(value, place).refuse("is not of " + std::to_string(type.size()) + " values");
    for (size_t at = 0; at < value.size(); ++at)
      complete(value[at], type[at], place + "." + std::to_string(at));
  } else if (type.is_array()) {
    if (Field(value, place).array().size() < type.size() - 1) Field(value, place).refuse("is empty");
    for (size_t at = 0; at < value.size(); ++at)
      complete(value[at], type[0], place + "." + std::to_string(at));
  } else if (type.is_object()) {
    for (const auto& name : Field(value, place).keys()) complete(value[name], type[""], place + "." + name);
  } else {
    std::stringstream types(type.get<std::string>());
    for (std::string one; std::getline(types, one, '|');) {
      if (is_plain(value, one)) return;
      if (value.is_object() && schema().contains(one)) return complete_object(value, schema()[one], place);
    }
    const auto stated = value.is_structured() ? "is no " : "is " + value.dump() + ", no ";
    Field(value, place).refuse(stated + type.get<std::string>());
  }
}

}  // namespace bst::detail
