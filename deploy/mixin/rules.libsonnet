// Reads a file of rules.

// Not every jsonnet resolves the anchors of YAML: that in C++ takes `*name` for a text. Here each alias is replaced by
// what its anchor marks, in the one form in which the files have them: `key: &name >-`, and a block below it.
local resolved(text) =
  local lines = std.split(text, '\n');
  local numbers = std.range(0, std.length(lines) - 1);
  // The lines below this one that are indented deeper than it is.
  local block(number) =
    local line = lines[number];
    local depth = [place for place in std.range(0, std.length(line) - 1) if line[place] != ' '][0];
    local deeper = std.substr(line, 0, depth) + ' ';
    lines[number + 1:[other for other in numbers if other > number && !std.startsWith(lines[other], deeper)][0]];
  local marked(number, mark) =
    local parts = std.split(lines[number], ': ' + mark);
    if std.length(parts) == 2 then { key: parts[0], words: std.split(parts[1], ' ') } else null;
  local anchors = {
    [line.words[0]]: { style: line.words[1], block: block(number) }
    for number in numbers
    for line in [marked(number, '&')]
    if line != null
  };
  local written(number) =
    local anchor = marked(number, '&');
    local alias = marked(number, '*');
    if anchor != null then [anchor.key + ': ' + anchor.words[1]]
    else if alias != null then
      local meant = anchors[alias.words[0]];
      [alias.key + ': ' + meant.style] + meant.block
    else [lines[number]];
  std.lines(std.flatMap(written, numbers));

{
  parse(text):: std.parseYaml(resolved(text)).groups,

  // The names of the recording rules, as a set.
  records(groups):: std.set([rule.record for group in groups for rule in group.rules if std.objectHas(rule, 'record')]),

  withLimits(limits, groups):: [
    group {
      rules: [
        if std.objectHas(rule, 'record') && std.objectHas(limits, rule.record)
        then rule { expr: limits[rule.record] }
        else rule
        for rule in group.rules
      ],
    }
    for group in groups
  ],
}
