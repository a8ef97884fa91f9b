import sys; sys.path.insert(0,'/tmp/np11')
from ed import sub
D='zerotohero/course/checks/numpy_gpt/'
sub(D+'_e11_1_wrong.py',
('''    return [
        Mistake(narrow, overflow + "float32."),
        Mistake(rounded, mean + "turn x to float32 before it is taken."),
    ]
''','''    if not np.isfinite(d * d).all():
        return [Mistake(narrow, overflow + "float32.")]
    return [Mistake(rounded, mean + "turn x to float32 before it is taken.")]
'''),
('''        near = x.astype''','''        squares = d * d
        near = x.astype'''),
('isfinite(d * d)','isfinite(squares)'))
