#pragma once

#include "graft/models/load.hpp"
#include "graft/models/save.hpp"

// A compiled graft has load_pretrained() and save_pretrained() of its own families: a program compiles them for
// families of its own alone. GRAFT_FAMILY_IS_COMPILED stands behind a model's class, GRAFT_COMPILE_FAMILY behind its
// bodies.
#define GRAFT_FAMILY_INSTANCES(template_kind, Model)                                                              \
  template_kind Pretrained<Model> load_pretrained<Model>(const std::filesystem::path&, const PretrainedOptions&); \
  template_kind Pretrained<Model> load_pretrained<Model>(                                                         \
      const ModelDir&, const typename Model::ContainedType::Config&, const PretrainedOptions&);                   \
  template_kind void save_pretrained<Model>(const std::filesystem::path&, const Model&, const SavePretrainedOptions&);

#if defined(GRAFT_COMPILED)
#define GRAFT_FAMILY_IS_COMPILED(Model) GRAFT_FAMILY_INSTANCES(extern template, Model)
#else
#define GRAFT_FAMILY_IS_COMPILED(Model)
#endif
#if defined(GRAFT_COMPILED) || defined(GRAFT_SOURCE)
#define GRAFT_COMPILE_FAMILY(Model) GRAFT_FAMILY_INSTANCES(template, Model)
#else
#define GRAFT_COMPILE_FAMILY(Model)
#endif
